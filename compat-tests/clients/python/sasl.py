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

    try:
        client.start(timeout=15)
    except (KazooException, KazooTimeoutError) as error:
        print(f"{at}: {user} -> {type(error).__name__}")
        client.stop()
        client.close()
        return
    print(f"{at}: {user} -> connected")
    node = f"/kazoo{at}"
    own = make_acl("sasl", user, all=True)
    try:
        print(f"  create -> {client.create(node, b'mine', acl=[own])!r}")
    except AuthFailedError as error:
        print(f"  create -> {type(error).__name__}")
        # Which of the two depends on how far kazoo's own threads are.
        try:
            client.get("/")
            print("  a client whose login failed is served")
        except (AuthFailedError, ConnectionClosedError):
            print("  nothing more is served")
        client.stop()
        client.close()
        return
    show("read", lambda: client.get(node)[0])
    show("acl", lambda: client.get_acls(node)[0])
    show("give away", lambda: client.set_acls(node, [make_acl("sasl", "alice", all=True)]).version)
    show("read what is alice's", lambda: client.get(node)[0])
    client.stop()
    client.close()


for index in range(2, len(sys.argv) - 1, 2):
    attempt(sys.argv[1], sys.argv[index], sys.argv[index + 1], index // 2)
