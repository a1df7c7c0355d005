"""Nodes, ACLs, identities, transactions and watches through kazoo. Argument: address."""

import sys

from kazoo.exceptions import RolledBackError
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, Id, make_acl, make_digest_acl
from transcript import Events, Transcript


def nodes(t, a, b):
    t.section(a, "nodes")
    for flags in range(8):
        options = {"ephemeral": bool(flags & 1), "sequence": bool(flags & 2), "include_data": bool(flags & 4)}
        t.show(f"create {options}", a.create, f"/nodes/n{flags}-", b"data", **options)
    t.show("again", a.create, "/nodes/n0-", b"")
    t.show("orphan", a.create, "/nodes/none/x")
    t.show("with parents", a.create, "/nodes/deep/er/est", b"x", makepath=True)
    t.show("below ephemeral", a.create, "/nodes/n1-/x")
    t.show("ensure", a.ensure_path, "/nodes/deep/er/est/too")
    t.show("exists", a.exists, "/nodes/deep")
    t.show("not", a.exists, "/nodes/none")
    t.show("get", a.get, "/nodes/n0-")
    t.show("get none", a.get, "/nodes/none")
    t.show("set", a.set, "/nodes/n0-", b"new")
    t.show("set at 1", a.set, "/nodes/n0-", b"newer", version=1)
    t.show("set at 1 again", a.set, "/nodes/n0-", b"late", version=1)
    t.show("set none", a.set, "/nodes/none", b"")
    t.show("children", lambda: sorted(a.get_children("/nodes")))
    t.show("children and stat", a.get_children, "/nodes/deep", include_data=True)
    t.show("children of none", a.get_children, "/nodes/none")
    t.show("delete at 9", a.delete, "/nodes/n0-", version=9)
    t.show("delete", a.delete, "/nodes/n0-")
    t.show("delete again", a.delete, "/nodes/n0-")
    t.show("delete full", a.delete, "/nodes/deep")
    t.show("delete all", a.delete, "/nodes/deep", recursive=True)
    t.show("sync", a.sync, "/nodes")
    t.show("unicode", a.create, "/nodes/äöü→", "→".encode())
    t.show("get unicode", a.get, "/nodes/äöü→")
    t.show("by another", b.get, "/nodes/n1-")
    t.show("server version", lambda: a.server_version()[:2] >= (3, 9))
    results = [a.create_async(f"/nodes/async{i}", b"%d" % i) for i in range(50)]
    t.show("pipelined", lambda: [r.get(timeout=10) for r in results] == [f"/nodes/async{i}" for i in range(50)])
    t.show("parent", a.exists, "/nodes")


def acls(t, a, b):
    t.section(a, "acls")
    b.add_auth("digest", "bob:pw")
    t.show("open", a.get_acls, "/acls")
    bob = make_digest_acl("bob", "pw", read=True, write=True)
    t.show("bob's", b.create, "/acls/bob", b"x", acl=[bob])
    t.show("read by bob", b.get, "/acls/bob")
    t.show("read by another", a.get, "/acls/bob")
    t.show("set acl by bob", b.set_acls, "/acls/bob", OPEN_ACL_UNSAFE)
    t.show("creator", b.create, "/acls/creator", b"x", acl=CREATOR_ALL_ACL)
    t.show("its acl", b.get_acls, "/acls/creator")
    t.show("open it", b.set_acls, "/acls/creator", OPEN_ACL_UNSAFE, version=0)
    t.show("open it late", b.set_acls, "/acls/creator", OPEN_ACL_UNSAFE, version=0)
    t.show("invalid scheme", a.create, "/acls/x", acl=[make_acl("nope", "x", all=True)])
    t.show("invalid digest", a.create, "/acls/x", acl=[make_acl("digest", "x", all=True)])
    t.show("ip", a.create, "/acls/ip", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
    t.show("reachable by ip", a.get, "/acls/ip")
    t.show("perms 0", a.create, "/acls/zero", acl=[ACL(0, Id("world", "anyone"))])
    t.show("read perms 0", a.get, "/acls/zero")
    c = t.client("c", auth_data=[("digest", "carol:pw")])
    t.show("auth at connect", c.create, "/acls/carol", b"x", acl=CREATOR_ALL_ACL)
    t.show("another", a.get, "/acls/carol")
    t.show("carol", c.get, "/acls/carol")
    t.show("default acl", c.create, "/acls/default")
    c.stop()
    c.close()


def transactions(t, a):
    t.section(a, "tx")
    a.create("/tx/n", b"n")
    a.create("/tx/full/kid", makepath=True)
    good = [("create", "/tx/good", b"1"), ("set_data", "/tx/n", b"2"), ("check", "/tx", 0), ("delete", "/tx/good")]
    bad = [
        ("create", "/tx/n"), ("create", "/tx/none/x"), ("delete", "/tx/none"), ("delete", "/tx/full"), ("delete", "/tx/n", 99),
        ("set_data", "/tx/none", b""), ("set_data", "/tx/n", b"", 99), ("check", "/tx/n", 99), ("check", "/tx/none", 0),
    ]

    def commit(ops):
        tx = a.transaction()
        for op in ops:
            getattr(tx, op[0])(*op[1:])
        return ["rolled back" if isinstance(r, RolledBackError) else r for r in tx.commit()]

    t.show("all good", commit, good)
    for op in bad:
        for at in range(len(good) + 1):
            t.show(f"{op} at {at}", commit, good[:at] + [op] + good[at:])
        t.show("nothing left", a.exists, "/tx/good")
    t.show("two bad", commit, [bad[0], bad[2]])
    t.show("flags", commit, [("create", "/tx/e", b"", None, True, True), ("create", "/tx/s", b"", None, False, True)])
    t.show("none", commit, [])
    t.show("n", a.get, "/tx/n")
    with a.transaction() as tx:
        tx.create("/tx/with")
    t.show("with", a.exists, "/tx/with")


def watches(t, a, b):
    t.section(a, "watches")
    w = Events()
    b.create("/watches/d")
    t.show("get", a.get, "/watches/d", watch=w)
    t.show("exists", a.exists, "/watches/x", watch=w)
    t.show("children", a.get_children, "/watches", watch=w)
    b.set("/watches/d", b"1")
    print(w.take(1))
    b.create("/watches/x")
    print(w.take(2))
    b.set("/watches/x", b"no watch left")
    a.get("/watches/d", watch=w)
    a.exists("/watches/x", watch=w)
    a.get_children("/watches/d", watch=w)
    b.delete("/watches/x")
    b.delete("/watches/d")
    print(sorted(w.take(3)))
    # kazoo calls one function once per event, even if it was given for data and for children.
    print(w.take(0))


def main():
    t = Transcript(sys.argv[1])
    a = t.client("a")
    b = t.client("b")
    nodes(t, a, b)
    acls(t, a, b)
    transactions(t, a)
    watches(t, a, b)
    for client in (a, b):
        client.stop()
        client.close()
    print("end")


main()
