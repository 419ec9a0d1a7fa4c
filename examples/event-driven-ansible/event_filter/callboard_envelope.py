"""callboard_envelope.py

An event filter of ansible-rulebook: what a webhook received becomes the event itself, so that rules are the same whichever way a
command of Callboard came.
"""

from typing import Any


def main(event: dict[str, Any]) -> dict[str, Any]:
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return event
    return {**payload, "meta": event.get("meta", {})}
