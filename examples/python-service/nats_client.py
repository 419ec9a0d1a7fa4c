"""As much of the NATS text protocol as a service needs, over one socket of the standard library.

One thread reads; any thread may publish. A connection that breaks is made again, with everything that was subscribed. Not here: TLS,
several servers, and whatever else a real client library does better.
"""

import base64
import itertools
import json
import queue
import secrets
import socket
import sys
import threading
import time
from urllib.parse import urlparse

import ed25519

PING_EVERY_S = 10
RECONNECT_S = 0.5


class Message:
    def __init__(self, subject, reply, headers, data):
        self.subject = subject
        self.reply = reply
        self.headers = headers
        self.data = data


class Nats:
    """`inbox` is the prefix under which this user may listen for answers."""

    def __init__(self, url, creds_file=None, name="", inbox="_INBOX", on_connect=lambda: None):
        self.address = urlparse(url)
        self.creds_file = creds_file
        self.name = name
        self.inbox = f"{inbox}.{secrets.token_hex(8)}"
        self.on_connect = on_connect
        self.handlers = {}
        self.sids = itertools.count(1)
        self.waiting = {}
        self.sending = threading.Lock()
        self.connected = threading.Event()
        self.closed = False
        self.socket = None
        self.subscribe(f"{self.inbox}.*", self._answered)

    def start(self):
        threading.Thread(target=self._live, daemon=True).start()
        threading.Thread(target=self._ping, daemon=True).start()

    def subscribe(self, subject, handler, group=""):
        # Under the lock: a connection that is being made tells the server of all that are there, and no other.
        with self.sending:
            sid = str(next(self.sids))
            self.handlers[sid] = (subject, group, handler)
            self._tell(_line("SUB", subject, group, sid))
        return sid

    def unsubscribe(self, sid):
        with self.sending:
            if self.handlers.pop(sid, None):
                self._tell(_line("UNSUB", sid))

    def _tell(self, line):
        """Where the connection is lost, the next one begins with what is in `handlers`."""
        try:
            if self.socket:
                self.socket.sendall(line)
        except OSError:
            pass

    def publish(self, subject, data=b"", reply="", headers=None):
        """Sends now, or raises OSError when there is no connection."""
        if not headers:
            return self._send(_line("PUB", subject, reply, len(data)) + data + b"\r\n")
        head = b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"
        size = (len(head), len(head) + len(data))
        return self._send(_line("HPUB", subject, reply, *size) + head + data + b"\r\n")

    def request(self, subject, data=b"", headers=None, timeout=2):
        """The first answer. Raises TimeoutError without one, and LookupError when nobody listens."""
        token = secrets.token_hex(8)
        answers = self.waiting[token] = queue.Queue()
        try:
            self.publish(subject, data, f"{self.inbox}.{token}", headers)
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(subject) from None
        finally:
            del self.waiting[token]
        if answer.headers.get("status") == "503":
            raise LookupError(subject)
        return answer

    def close(self):
        self.closed = True
        if self.socket:
            self.socket.close()

    def _answered(self, message):
        answers = self.waiting.get(message.subject.rsplit(".", 1)[1])
        if answers:
            answers.put(message)

    def _send(self, data):
        with self.sending:
            if not self.socket:
                raise ConnectionError("not connected")
            self.socket.sendall(data)

    def _live(self):
        while not self.closed:
            try:
                self._connect()
                while True:
                    self._read_one()
            except (OSError, ValueError) as error:
                if not self.closed:
                    print(f"the connection to NATS: {error}", file=sys.stderr, flush=True)
                self.connected.clear()
                self.socket = None
                time.sleep(RECONNECT_S)

    def _connect(self):
        connection = socket.create_connection((self.address.hostname, self.address.port or 4222), timeout=5)
        connection.settimeout(PING_EVERY_S * 3)
        self.stream = connection.makefile("rb")
        verb, _, text = self._line().partition(b" ")
        if verb != b"INFO":
            raise ValueError("this is no NATS server")
        options = {"verbose": False, "headers": True, "no_responders": True, "lang": "python", "version": "0"}
        options.update(name=self.name, protocol=1, **self._credentials(json.loads(text)))
        connection.sendall(_line("CONNECT", json.dumps(options)) + b"PING\r\n")
        while (line := self._line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise PermissionError(line.decode())
        with self.sending:
            for sid, (subject, group, _) in self.handlers.items():
                connection.sendall(_line("SUB", subject, group, sid))
            self.socket = connection
        self.connected.set()
        threading.Thread(target=self.on_connect, daemon=True).start()

    def _credentials(self, info):
        if not self.creds_file:
            return {}
        with open(self.creds_file) as file:
            lines = [line.strip() for line in file]
        jwt = next(line for line in lines if line.startswith("ey"))
        seed = next(line for line in lines if line.startswith("SU"))
        # Base32 of two bytes that say what it is, the seed, and a checksum of two bytes.
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))[2:34]
        signature = ed25519.sign(raw, info.get("nonce", "").encode())
        return {"jwt": jwt, "sig": base64.urlsafe_b64encode(signature).rstrip(b"=").decode()}

    def _line(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has gone")
        return line[:-2]

    def _read_one(self):
        line = self._line()
        verb, *words = line.decode().split(" ")
        if verb == "PING":
            self._send(b"PONG\r\n")
        elif verb == "-ERR":
            print(f"NATS says: {line.decode()}", file=sys.stderr, flush=True)
        elif verb in ("MSG", "HMSG"):
            sizes = 2 if verb == "HMSG" else 1
            subject, sid, *reply = words[:-sizes]
            data = self.stream.read(int(words[-1]) + 2)[:-2]
            head = data[: int(words[-2])] if sizes == 2 else b""
            handler = self.handlers.get(sid)
            if handler:
                message = Message(subject, reply[0] if reply else "", _headers(head), data[len(head) :])
                handler[2](message)

    def _ping(self):
        while not self.closed:
            time.sleep(PING_EVERY_S)
            try:
                self._send(b"PING\r\n")
            except OSError:
                pass


def _line(*words):
    return " ".join(str(word) for word in words if word != "").encode() + b"\r\n"


def _headers(head):
    first, *lines = head.decode().split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    if len(first) > 8:
        headers["status"] = first.split(" ")[1]
    return headers
