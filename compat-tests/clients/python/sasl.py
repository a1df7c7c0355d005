"""Logins by DIGEST-MD5 through kazoo. Arguments: address, then user and password, repeatedly."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, ConnectionClosedError, KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl


def attempt(address, user, password, at):
    options = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    client = KazooClient(hosts=address, sasl_options=options, timeout=10)

    def show(label, call, *args, **kwargs):
        try:
            print(f"  {label} -> {call(*args, **kwargs)!r}")
        except KazooException as error:
            print(f"  {label} -> {type(error).__name__}")

    node = f"/kazoo{at}"
    own = make_acl("sasl", user, all=True)
    try:
        client.start(timeout=15)
        created = client.create(node, b"mine", acl=[own])
    except (AuthFailedError, ConnectionClosedError, KazooTimeoutError):
        # How far kazoo comes, and which of these it tells, depends on its own threads.
        print(f"{at}: {user} -> is not let in")
        client.stop()
        client.close()
        return
    print(f"{at}: {user} -> is let in")
    print(f"  create -> {created!r}")
    show("read", lambda: client.get(node)[0])
    show("acl", lambda: client.get_acls(node)[0])
    show("give away", lambda: client.set_acls(node, [make_acl("sasl", "alice", all=True)]).version)
    show("read what is alice's", lambda: client.get(node)[0])
    client.stop()
    client.close()


for index in range(2, len(sys.argv) - 1, 2):
    attempt(sys.argv[1], sys.argv[index], sys.argv[index + 1], index // 2)
