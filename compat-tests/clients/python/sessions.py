"""Lost connections and lost sessions through kazoo. Argument: address. Expects tickTime=500."""

import socket
import sys

from kazoo.client import KazooClient, KazooState
from transcript import LIMIT_S, Transcript, until


def states(client):
    seen = []
    client.add_listener(seen.append)
    return seen


def cut(client):
    """Breaks the connection below the client."""
    client._connection._socket.shutdown(socket.SHUT_RDWR)


def main():
    t = Transcript(sys.argv[1])
    a = t.client("a")
    t.section(a, "sessions")

    b = t.client("b", timeout=5.0)
    seen = states(b)
    b.create("/sessions/b", ephemeral=True)
    data = []
    b.DataWatch("/sessions/d", lambda value, stat: data.append(value))
    session = b.client_id[0]
    cut(b)
    until("reconnected", lambda: seen[-2:] == [KazooState.SUSPENDED, KazooState.CONNECTED])
    t.show("same session", lambda: b.client_id[0] == session)
    t.show("ephemeral is there", a.exists, "/sessions/b")
    a.create("/sessions/d", b"1")
    until("watch survived", lambda: data == [None, b"1"])

    b._session_passwd = b"x" * 16
    cut(b)
    until("b is told its session is over", lambda: KazooState.LOST in seen)
    until("b has a new session", lambda: b.connected and b.client_id[0] != session)
    t.show("the old one still lives", a.exists, "/sessions/b")
    until("and then expires", lambda: a.exists("/sessions/b") is None)
    t.show("b works", lambda: b.retry(b.create, "/sessions/b2", ephemeral=True))
    t.show("who", lambda: a.exists("/sessions/b2").ephemeralOwner == b.client_id[0])

    a_session = a.client_id[0]
    wrong = KazooClient(hosts=t.address, timeout=5.0, client_id=(a_session, b"x" * 16))
    wrong_seen = states(wrong)
    wrong.start(timeout=LIMIT_S)
    t.show("a wrong password gets a session of its own", lambda: wrong.client_id[0] != a_session)
    t.show("after being told", lambda: wrong_seen)
    wrong.stop()
    b.stop()
    t.show("stopped", lambda: a.exists("/sessions/b2"))
    b.restart()
    t.show("restarted", lambda: b.exists("/sessions") is not None)
    t.show("ruok", a.command, b"ruok")
    for client in (a, b):
        client.stop()
        client.close()
    print("end")


main()
