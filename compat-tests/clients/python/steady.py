"""One session that writes while the servers of its ensemble come and go, until the node that it waits for is made.
Arguments: servers, root of what it makes, the node it waits for, how kazoo's client is to be made more (JSON), then one
or more ids, scheme and name: it writes in turn to nodes that each of them alone may write to."""

import json
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import NodeExistsError
from kazoo.retry import KazooRetry
from kazoo.security import make_acl

TIMEOUT_S = 30.0
PAUSE_S = 0.01


def main(servers, root, end, more, *owners):
    states = []
    persist = KazooRetry(max_tries=-1, delay=PAUSE_S, backoff=1, max_delay=1)
    retry = KazooRetry(max_tries=-1, delay=PAUSE_S, max_delay=0.2)
    client = KazooClient(hosts=servers, timeout=TIMEOUT_S, connection_retry=retry, **json.loads(more))
    client.add_listener(states.append)
    client.start(timeout=TIMEOUT_S)
    session = client.client_id[0]

    def create(path, **options):
        try:
            persist(client.create, path, b"", **options)
        except NodeExistsError:
            pass
        return path

    def owned_by(owner):
        return [make_acl("world", "anyone", read=True), make_acl(*owner.split(":", 1), all=True)]

    create(root)
    create(root + "/alive", ephemeral=True)
    values = [create(f"{root}/value{at}", acl=owned_by(owner)) for at, owner in enumerate(owners)]
    lock = client.Lock(root + "/lock", "steady")
    assert lock.acquire(timeout=TIMEOUT_S)
    over = threading.Event()

    @client.DataWatch(end)
    def watch(data, stat):
        if stat is not None:
            over.set()

    print("ready", flush=True)
    written = 0
    while not over.wait(PAUSE_S):
        written += 1
        value = values[written % len(values)]
        persist(client.set, value, b"%d" % written)
        seen = int(persist(client.get, value)[0])
        assert seen == written, f"wrote {written} and read {seen}"
    alive = persist(client.exists, root + "/alive")
    holders = persist(lock.contenders)
    same = client.client_id[0] == session == alive.ephemeralOwner
    assert KazooState.LOST not in states, states
    assert holders == ["steady"], holders
    suspended = states.count(KazooState.SUSPENDED)
    print(f"{written} writes, {suspended} disconnections, the session {'is the same' if same else 'is another'}")
    client.stop()
    client.close()


main(*sys.argv[1:])
