"""kazoo's recipes: what they return and what nodes they leave. Argument: address."""

import sys
import threading

from kazoo.recipe.watchers import PatientChildrenWatch
from transcript import Transcript, until


def nodes(client, path):
    """The names under a path without the random part recipes put into them."""
    return sorted(name.rsplit("_", 1)[-1][-14:] for name in client.get_children(path))


def watchers(t, a, b):
    t.section(a, "watchers")
    data, children = [], []

    @a.DataWatch("/watchers/d")
    def on_data(value, stat, event):
        data.append((value, stat and stat.version, event and event.type))

    @a.ChildrenWatch("/watchers", send_event=True)
    def on_children(names, event):
        children.append((sorted(names), event and event.type))

    b.create("/watchers/d", b"1")
    until("created", lambda: len(data) == 2 and len(children) == 2)
    b.set("/watchers/d", b"2")
    until("set", lambda: len(data) == 3)
    b.create("/watchers/e", ephemeral=True)
    until("child", lambda: len(children) == 3)
    b.delete("/watchers/d")
    until("deleted", lambda: len(data) == 4 and len(children) == 4)
    print(data)
    print(children)
    result = PatientChildrenWatch(a, "/watchers", time_boundary=0.3).start()
    t.show("patient", lambda: result.get(timeout=10)[0])


def locks(t, a, b):
    t.section(a, "locks")
    first = a.Lock("/locks/l", "first")
    second = b.Lock("/locks/l", "second")
    t.show("first", first.acquire)
    t.show("second does not wait", second.acquire, blocking=False)
    t.show("second times out", second.acquire, timeout=0.3)
    t.show("contenders", first.contenders)
    waiter = threading.Thread(target=second.acquire, daemon=True)
    waiter.start()
    until("both stand in line", lambda: len(a.get_children("/locks/l")) == 2)
    t.show("contenders", first.contenders)
    t.show("release", first.release)
    waiter.join(30)
    t.show("second has it", lambda: second.is_acquired)
    t.show("release", second.release)
    readers = [a.ReadLock("/locks/rw"), b.ReadLock("/locks/rw")]
    t.show("readers", lambda: [r.acquire() for r in readers])
    writer = a.WriteLock("/locks/rw")
    t.show("writer", writer.acquire, blocking=False)
    t.show("readers out", lambda: [r.release() for r in readers])
    t.show("writer", writer.acquire)
    t.show("writer out", writer.release)
    semaphores = [a.Semaphore("/locks/s", max_leases=2), b.Semaphore("/locks/s", max_leases=2), a.Semaphore("/locks/s", max_leases=2)]
    t.show("leases", lambda: [s.acquire(blocking=False) for s in semaphores])
    t.show("lease back", semaphores[0].release)
    t.show("third lease", semaphores[2].acquire)
    t.show("left", lambda: nodes(a, "/locks/l") + nodes(a, "/locks/rw"))


def groups(t, a, b):
    t.section(a, "groups")
    leaders = []
    for name, client in (("a", a), ("b", b)):
        election = client.Election("/groups/election", name)
        t.show(f"election {name}", election.run, lambda name=name: leaders.append(name))
    print(leaders)
    parties = [a.Party("/groups/party", "a"), b.Party("/groups/party", "b")]
    for party in parties:
        party.join()
    t.show("party", lambda: sorted(parties[0]))
    parties[1].leave()
    t.show("party", lambda: sorted(parties[0]))
    shallow = [a.ShallowParty("/groups/shallow", "a"), b.ShallowParty("/groups/shallow", "b")]
    for party in shallow:
        party.join()
    t.show("shallow party", lambda: sorted(shallow[0]))
    barrier = a.Barrier("/groups/barrier")
    t.show("barrier", barrier.create)
    t.show("closed", b.Barrier("/groups/barrier").wait, 0.2)
    t.show("remove", barrier.remove)
    t.show("open", b.Barrier("/groups/barrier").wait, 5)
    double = [a.DoubleBarrier("/groups/double", 2, "a"), b.DoubleBarrier("/groups/double", 2, "b")]
    for step in ("enter", "leave"):
        threads = [threading.Thread(target=getattr(d, step), daemon=True) for d in double]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        print(step, [thread.is_alive() for thread in threads], [d.participating for d in double])
    partitions = [a.SetPartitioner("/groups/set", set=("1", "2", "3"), identifier="a", time_boundary=0.3)]
    until("partition acquired", lambda: partitions[0].acquired or partitions[0].wait_for_acquire(1) or partitions[0].acquired)
    t.show("partition", lambda: sorted(partitions[0]))
    partitions[0].finish()


def stores(t, a, b):
    t.section(a, "stores")
    queue = a.Queue("/stores/queue")
    t.show("put", lambda: [queue.put(b"%d" % i, priority=100 - i) for i in range(3)])
    t.show("length", lambda: len(queue))
    t.show("get", lambda: [b.Queue("/stores/queue").get() for _ in range(4)])
    locking = a.LockingQueue("/stores/locking")
    t.show("put", locking.put_all, [b"x", b"y"])
    other = b.LockingQueue("/stores/locking")
    t.show("lock", locking.get, 1)
    t.show("lock another", other.get, 1)
    t.show("consume", locking.consume)
    t.show("release", other.release)
    t.show("again", other.get, 1)
    t.show("consume", other.consume)
    t.show("empty", other.get, 0.2)
    counter = a.Counter("/stores/counter", default=5)
    counter += 3
    counter -= 1
    t.show("counter", lambda: (counter.value, counter.pre_value, counter.post_value))
    t.show("its node", a.get, "/stores/counter")
    real = b.Counter("/stores/real", default=1.5)
    real += 0.25
    t.show("real", lambda: real.value)
    t.show("left", lambda: sorted(a.get_children("/stores/locking")))
    cache, seen = None, []
    from kazoo.recipe.cache import TreeCache

    a.create("/stores/tree/x/y", b"1", makepath=True)
    cache = TreeCache(a, "/stores/tree")
    ready = threading.Event()
    cache.listen(lambda event: seen.append(event.event_type) or (event.event_type == 6 and ready.set()))
    cache.start()
    until("cache filled", lambda: cache.get_data("/stores/tree/x/y") is not None)
    b.set("/stores/tree/x/y", b"2")
    until("cache follows", lambda: cache.get_data("/stores/tree/x/y").data == b"2")
    b.delete("/stores/tree/x", recursive=True)
    until("cache empties", lambda: cache.get_children("/stores/tree") == frozenset())
    cache.close()


def main():
    t = Transcript(sys.argv[1])
    a = t.client("a")
    b = t.client("b")
    watchers(t, a, b)
    locks(t, a, b)
    groups(t, a, b)
    stores(t, a, b)
    for client in (a, b):
        client.stop()
        client.close()
    print("end")


main()
