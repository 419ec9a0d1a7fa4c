"""callboard_jetstream.py

An event source plug-in of ansible-rulebook that reads a JetStream stream. Each message is JSON and becomes an event as it is: for
commands of Callboard the event is the envelope, so that a rule says `event.tool == "git" and event.method == "clone"`.

Arguments:
    servers:      URL of a NATS server, or a list of them
    credentials:  credentials file of the NATS user (optional)
    user:         name of the NATS user, which is part of its inbox prefix (default: eda)
    stream:       the stream to read (default: DISPATCH)
    subject:      filter, such as dispatch.eda.>
    durable:      name of the consumer; several rulebooks with one name share the work

A message is taken one at a time and acknowledged before it goes to the rules, so that no rule ever sees it twice, however long they let it
wait. What a rulebook that dies then has not done is not done; Callboard ends such a command at its deadline.

Example:

    - callboard_jetstream:
        servers: nats://127.0.0.1:4222
        credentials: /etc/callboard/eda.creds
        subject: dispatch.eda.>
        durable: eda
"""

import asyncio
import json
import logging
from typing import Any

import nats
from nats.errors import TimeoutError as NothingCame

FETCH_S = 5

logger = logging.getLogger(__name__)


async def main(queue: asyncio.Queue, args: dict[str, Any]) -> None:
    connection = await nats.connect(
        args["servers"],
        user_credentials=args.get("credentials"),
        name="ansible-rulebook",
        inbox_prefix=f"_INBOX_{args.get('user', 'eda')}".encode(),
        max_reconnect_attempts=-1,
    )
    try:
        subscription = await connection.jetstream().pull_subscribe(
            args["subject"], durable=args["durable"], stream=args.get("stream", "DISPATCH")
        )
        while True:
            try:
                [message] = await subscription.fetch(1, timeout=FETCH_S)
            except NothingCame:
                continue
            await _pass_on(queue, message)
    finally:
        await connection.close()


async def _pass_on(queue: asyncio.Queue, message: Any) -> None:
    try:
        event = json.loads(message.data)
        if not isinstance(event, dict):
            raise ValueError("not an object")
    except ValueError as error:
        logger.error("%s is no event: %s", message.subject, error)
        await message.term()
        return
    await message.ack_sync()
    await queue.put(event)


if __name__ == "__main__":
    # Shows what comes: python callboard_jetstream.py '{"servers": "nats://127.0.0.1:4222", "subject": "…", "durable": "look"}'
    import sys

    class Printing(asyncio.Queue):
        async def put(self, item: Any) -> None:
            print(json.dumps(item), flush=True)

    asyncio.run(main(Printing(), json.loads(sys.argv[1])))
