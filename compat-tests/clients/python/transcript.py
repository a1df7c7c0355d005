"""Prints what happened in words that are equal on two servers that behave the same."""

import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

LIMIT_S = 30


class Transcript:
    def __init__(self, address):
        self.address = address
        self.base = 0
        self.sessions = {}

    def client(self, name, **options):
        client = KazooClient(hosts=self.address, timeout=options.pop("timeout", 10.0), **options)
        client.start(timeout=LIMIT_S)
        self.sessions[client.client_id[0]] = name
        return client

    def section(self, client, title):
        print(f"\n## {title}")
        client.create("/" + title)
        self.base = client.exists("/" + title).czxid

    def zxid(self, zxid):
        return "0" if zxid == 0 else f"{zxid - self.base:+d}"

    def stat(self, s):
        if s is None:
            return "None"
        sane = s.mtime >= s.ctime and (s.ctime == 0 or abs(s.ctime / 1000 - time.time()) < 600)
        owner = self.sessions.get(s.ephemeralOwner, "unknown") if s.ephemeralOwner else "0"
        return (
            f"{{c={self.zxid(s.czxid)} m={self.zxid(s.mzxid)} p={self.zxid(s.pzxid)} v={s.version} cv={s.cversion} "
            f"av={s.aversion} owner={owner} len={s.dataLength} kids={s.numChildren}{'' if sane else ' TIMES'}}}"
        )

    def text(self, value):
        if type(value).__name__ == "ZnodeStat":
            return self.stat(value)
        if isinstance(value, tuple):
            return "(" + ", ".join(self.text(v) for v in value) + ")"
        if isinstance(value, list):
            return "[" + ", ".join(self.text(v) for v in value) + "]"
        if isinstance(value, Exception):
            return type(value).__name__
        return repr(value)

    def show(self, label, call, *args, **kwargs):
        try:
            result = call(*args, **kwargs)
        except (KazooException, ValueError, TypeError) as e:
            print(f"{label} ! {type(e).__name__}")
            return None
        print(f"{label} -> {self.text(result)}")
        return result


def until(what, condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            print(f"NEVER: {what}")
            return
        time.sleep(0.02)
    print(f"at last: {what}")


class Events:
    """Collects watch events of one client; `take` waits for as many as are due."""

    def __init__(self):
        self.changed = threading.Condition()
        self.seen = []

    def __call__(self, event):
        with self.changed:
            self.seen.append(f"{event.type}({event.path})")
            self.changed.notify_all()

    def take(self, due):
        with self.changed:
            self.changed.wait_for(lambda: len(self.seen) >= due, LIMIT_S)
            seen, self.seen = self.seen, []
        return seen
