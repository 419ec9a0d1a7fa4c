"""Actions of this process, served to Callboard over NATS. docs/adapters.md has the protocol; this is all of it in plain Python."""

import hashlib
import json
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from nats_client import Nats

BEAT_EVERY_S = 2
CATALOG_TTL_S = 3600
ANSWER_EVERY_S = 1
# Bytes; NATS cuts the connection of whoever sends a larger message than it allows.
LARGEST_ANSWER = 1_000_000


class Failed(Exception):
    """What a handler raises to say that it failed. The message reaches the caller; anything else that is raised does not."""

    def __init__(self, message, code="action_failed", retryable=False):
        super().__init__(message)
        self.body = {"code": code, "message": message, "retryable": retryable}


class Asked(Exception):
    """What `Command.ask` raises while the answers are not there: the handler is called again from its top when they are."""

    def __init__(self, requests):
        super().__init__("the caller is asked")
        self.requests = requests


class Cancelled(Exception):
    """Nobody wants the result any more."""


class Command:
    """One attempt at a command, as its handler sees it."""

    def __init__(self, nats, message):
        self.envelope = json.loads(message.data)
        self.attempt = int(message.headers.get("Callboard-Attempt", "1"))
        self.idempotency_key = message.headers.get("Callboard-Idempotency-Key", self.id)
        self.cancelled = threading.Event()
        self._nats = nats
        self._reply = message.reply

    @property
    def id(self):
        return self.envelope["correlation_id"]

    @property
    def action(self):
        return ".".join(part for part in (self.envelope["tool"], self.envelope["method"]) if part)

    def progress(self, percent=None, message=None, stage=None):
        told = {"percent": percent, "message": message, "stage": stage}
        self._say({"status": "progress", **{k: v for k, v in told.items() if v is not None}})

    def ask(self, **requests):
        """The caller's answers by key. Ask before there is any effect, and always under the same keys."""
        answers = self.envelope.get("answers", {})
        if all(key in answers for key in requests):
            return {key: answers[key] for key in requests}
        raise Asked(requests)

    def sleep(self, seconds):
        """Waits; raises Cancelled as soon as the command is cancelled. Call it with 0 to look."""
        if self.cancelled.wait(seconds):
            raise Cancelled()

    def accept(self, instance):
        self._say({"status": "accepted", "instance": instance})

    def answer(self, body):
        """Says it until the runner has heard it, or does not listen any more."""
        data = json.dumps(body).encode()
        if len(data) > LARGEST_ANSWER:
            data = b'{"status": "error", "error": {"code": "payload_too_large", "message": "The result is too large"}}'
        for _ in range(60):
            try:
                return self._nats.request(self._reply, data, timeout=ANSWER_EVERY_S)
            except LookupError:
                return None
            except OSError:
                time.sleep(ANSWER_EVERY_S)

    def _say(self, body):
        try:
            self._nats.publish(self._reply, json.dumps(body).encode())
        except OSError:
            pass  # Progress is worth nothing later.


class Service:
    def __init__(self, name, instance, heartbeat_ttl_s=30, workers=16):
        self.name, self.instance, self.ttl = name, instance, heartbeat_ttl_s
        self.subject = f"svc.{name}"
        self.descriptors, self.handlers, self.running = [], {}, {}  # running: by correlation id
        self.pool = ThreadPoolExecutor(workers)
        self.stopping = threading.Event()

    def action(self, **descriptor):
        """Decorates a handler: (arguments, Command) -> result, any JSON. The descriptor is as docs/adapters.md has it."""

        def add(handler):
            self.descriptors.append({**descriptor, "binding": {"kind": "nats", "subject": self.subject}})
            self.handlers[descriptor["id"]] = handler
            return handler

        return add

    def run(self, url, creds_file=None):
        """Serves until SIGTERM or Ctrl-C, and then finishes what it has begun."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.nats = Nats(url, creds_file, self.instance, inbox="_INBOX_service", on_connect=self._announce)
        self.nats.start()
        work = self.nats.subscribe(self.subject, self._take, group=self.name)
        self.nats.subscribe(f"{self.subject}.cancel", self._cancel)
        while not self.stopping.wait(BEAT_EVERY_S):
            self._announce()
        # It takes nothing more, and is alive, without actions, until it has done what it took.
        self.nats.unsubscribe(work)
        self.descriptors = []
        while self.running:
            self._announce()
            time.sleep(BEAT_EVERY_S / 10)
        self.pool.shutdown()
        self._put(self._beat_key, b"", {"KV-Operation": "DEL"})
        self.nats.close()

    @property
    def _beat_key(self):
        return f"remote.services.{self.name}.{self.instance}"

    def _announce(self):
        """First the catalog, then the heartbeat that names it: nobody ever sees half of it."""
        catalog = json.dumps(self.descriptors).encode()
        digest = hashlib.sha256(catalog).hexdigest()[:32]
        beat = {"service": self.name, "instance": self.instance, "catalog": digest}
        self._put(f"remote.catalogs.{digest}", catalog, {"Nats-TTL": f"{CATALOG_TTL_S}s"})
        self._put(self._beat_key, json.dumps(beat).encode(), {"Nats-TTL": f"{self.ttl}s"})

    def _put(self, key, value, headers):
        try:
            answer = json.loads(self.nats.request(f"$KV.ACTIONS.{key}", value, headers).data)
            if "error" in answer:
                print(f"not announced: {answer['error']}", file=sys.stderr, flush=True)
        except (OSError, LookupError):
            pass  # The next beat tries again.

    def _take(self, message):
        command = Command(self.nats, message)
        self.running[command.id] = command
        command.accept(self.instance)
        self.pool.submit(self._handle, command)

    def _cancel(self, message):
        command = self.running.get(json.loads(message.data)["correlation_id"])
        if command:
            command.cancelled.set()

    def _handle(self, command):
        try:
            handler = self.handlers.get(command.action)
            if not handler:
                raise Failed("This process does not have the action any more", retryable=True)
            body = {"status": "ok", "result": handler(command.envelope["args"], command)}
        except Failed as failure:
            body = {"status": "error", "error": failure.body}
        except Asked as asked:
            body = {"status": "input_required", "requests": asked.requests}
        except Cancelled:
            body = {"status": "error", "error": {"code": "cancelled", "message": "stopped"}}
        except Exception:
            traceback.print_exc()
            body = {"status": "error", "error": {"message": "The service met an error; its log has it"}}
        command.answer(body)
        self.running.pop(command.id, None)
