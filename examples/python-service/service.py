"""Two actions in plain Python. See README.md for how to run it."""

import os
import sys

from callboard_service import Failed, Service

service = Service(
    name="words",
    instance=os.environ.get("WORDS_INSTANCE", "words-1"),
    heartbeat_ttl_s=int(os.environ.get("WORDS_HEARTBEAT_TTL_S", "30")),
)


@service.action(
    id="words.count",
    title="Count words",
    description="Counts the words of a text, line by line.",
    input_schema={
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "pause_ms": {"type": "integer", "minimum": 0, "description": "to wait after each line"},
        },
        "required": ["text"],
    },
    attributes={"read_only": True, "open_world": False},
)
def count(args, command):
    lines = args["text"].splitlines()
    words = 0
    for done, line in enumerate(lines, start=1):
        words += len(line.split())
        command.progress(percent=100 * done / len(lines), message=f"line {done}")
        command.sleep(args.get("pause_ms", 0) / 1000)
    return {"words": words, "lines": len(lines)}


@service.action(
    id="words.print",
    description="Prints a line where the service runs. Printing twice prints two lines, so it is not idempotent.",
    input_schema={
        "type": "object",
        "properties": {
            "line": {"type": "string"},
            "pause_ms": {"type": "integer", "minimum": 0},
            "confirm": {"type": "boolean", "description": "ask the caller first"},
        },
        "required": ["line"],
    },
    attributes={"destructive": False},
)
def print_line(args, command):
    if "\n" in args["line"]:
        raise Failed("one line only", code="not_one_line")
    if args.get("confirm"):
        schema = {"type": "object", "properties": {}}
        question = {"method": "elicitation/create", "params": {"message": "Print it?", "requestedSchema": schema}}
        if command.ask(confirm=question)["confirm"]["action"] != "accept":
            raise Failed("The caller did not agree", code="not_confirmed")
    print(args["line"], flush=True)
    command.progress(percent=50, message="printed")
    command.sleep(args.get("pause_ms", 0) / 1000)
    return "printed"


if __name__ == "__main__":
    service.run(*sys.argv[1:3])
