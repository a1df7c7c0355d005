import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/** Every operation on one node, its results, its errors and what it does to the stats. */
final class Nodes {
    private static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

    private Nodes() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        Transcript.Client b = t.open("b");
        ZooKeeper zk = a.zk;
        t.section(zk, "nodes");
        creates(t, zk);
        stats(t, zk);
        versions(t, zk);
        ephemerals(t, a, b);
        sequences(t, zk);
        a.zk.close();
        b.zk.close();
    }

    private static void creates(Transcript t, ZooKeeper zk) throws Exception {
        for (CreateMode mode : CreateMode.values()) {
            String path = "/nodes/" + mode.name().toLowerCase();
            long[] ttls = mode.isTTL() ? new long[] {-1, 0, 1, 600000, 0xFFFFFFFFFFL, 0x10000000000L} : new long[] {-1, 5};
            for (long ttl : ttls) {
                Stat stat = new Stat();
                t.show("create " + mode + " ttl=" + ttl, () -> zk.create(path + ttl, Transcript.bytes("x"), OPEN, mode, stat, ttl));
                t.show("  stat", () -> stat);
                t.show("  exists", () -> zk.exists(path + ttl, false));
            }
            if (!mode.isTTL()) {
                t.show("create without stat " + mode, () -> zk.create(path, Transcript.bytes("y"), OPEN, mode));
                t.show("create again " + mode, () -> zk.create(path, Transcript.bytes("z"), OPEN, mode));
            }
            t.show("create below a missing parent " + mode, () -> zk.create("/nodes/none/x", null, OPEN, mode, null, mode.isTTL() ? 9 : -1));
        }
        t.show("null data", () -> zk.create("/nodes/null", null, OPEN, CreateMode.PERSISTENT));
        t.show("empty data", () -> zk.create("/nodes/empty", new byte[0], OPEN, CreateMode.PERSISTENT));
        t.show("get null", () -> zk.getData("/nodes/null", false, null));
        t.show("get empty", () -> zk.getData("/nodes/empty", false, null));
        t.show("set null", () -> zk.setData("/nodes/empty", null, -1));
        t.show("get set null", () -> zk.getData("/nodes/empty", false, null));
        t.show("children", () -> Transcript.sorted(zk.getChildren("/nodes", false)));
    }

    private static void stats(Transcript t, ZooKeeper zk) throws Exception {
        String p = "/nodes/stat";
        t.show("create", () -> zk.create(p, Transcript.bytes("1"), OPEN, CreateMode.PERSISTENT));
        Call[] steps = {
            new Call("create child", () -> zk.create(p + "/a", null, OPEN, CreateMode.PERSISTENT)),
            new Call("create grandchild", () -> zk.create(p + "/a/b", null, OPEN, CreateMode.PERSISTENT)),
            new Call("failed create", () -> zk.create(p + "/a", null, OPEN, CreateMode.PERSISTENT)),
            new Call("set", () -> zk.setData(p, Transcript.bytes("22"), -1)),
            new Call("set the same", () -> zk.setData(p, Transcript.bytes("22"), 1)),
            new Call("failed set", () -> zk.setData(p, Transcript.bytes("3"), 7)),
            new Call("set child", () -> zk.setData(p + "/a", Transcript.bytes("c"), -1)),
            new Call("set acl", () -> zk.setACL(p, OPEN, -1)),
            new Call("set acl of child", () -> zk.setACL(p + "/a", Ids.READ_ACL_UNSAFE, -1)),
            new Call("delete grandchild refused", () -> run(() -> zk.delete(p + "/a/b", -1))),
            new Call("second child", () -> zk.create(p + "/c", null, OPEN, CreateMode.EPHEMERAL)),
            new Call("delete second child", () -> run(() -> zk.delete(p + "/c", -1))),
            new Call("delete missing child", () -> run(() -> zk.delete(p + "/c", -1))),
            new Call("delete not empty", () -> run(() -> zk.delete(p, -1))),
            new Call("sequence", () -> zk.create(p + "/s-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL)),
        };
        for (Call step : steps) {
            Stat before = zk.exists(p, false);
            t.show(step.name, step.call);
            Stat after = zk.exists(p, false);
            t.say("  " + t.stat(after) + (before.getCtime() == after.getCtime() ? "" : " CTIME CHANGED")
                + (before.getMzxid() != after.getMzxid() || before.getMtime() == after.getMtime() ? "" : " MTIME CHANGED"));
        }
        t.show("get with stat", () -> {
            Stat stat = new Stat();
            return t.text(zk.getData(p, false, stat)) + t.stat(stat);
        });
        t.show("children with stat", () -> {
            Stat stat = new Stat();
            return Transcript.sorted(zk.getChildren(p, false, stat)) + t.stat(stat);
        });
        t.show("acl with stat", () -> {
            Stat stat = new Stat();
            return t.text(zk.getACL(p, stat)) + t.stat(stat);
        });
        for (String q : new String[] {"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"}) {
            t.show("acl of " + q, () -> zk.getACL(q, new Stat()));
            t.show("delete " + q, () -> run(() -> zk.delete(q, -1)));
            t.show("children of " + q + " but our own", () -> {
                List<String> names = Transcript.sorted(zk.getChildren(q, false));
                names.removeIf(name -> !name.equals("zookeeper") && !name.equals("quota") && !name.equals("config"));
                return names;
            });
        }
        t.show("set root", () -> zk.setData("/", Transcript.bytes("root"), -1).getDataLength());
        t.show("get root", () -> zk.getData("/", false, null));
        t.show("set /zookeeper/config", () -> zk.setData("/zookeeper/config", Transcript.bytes("no"), -1));
        for (String op : new String[] {"get", "children", "acl", "exists", "count", "set", "setacl", "delete"}) {
            t.show(op + " of a missing node", () -> missing(zk, op, "/nodes/missing"));
        }
    }

    private static Object missing(ZooKeeper zk, String op, String path) throws Exception {
        switch (op) {
            case "get": return zk.getData(path, false, null);
            case "children": return zk.getChildren(path, false, new Stat());
            case "acl": return zk.getACL(path, null);
            case "exists": return zk.exists(path, false);
            case "count": return zk.getAllChildrenNumber(path);
            case "set": return zk.setData(path, null, -1);
            case "setacl": return zk.setACL(path, OPEN, -1);
            default: return run(() -> zk.delete(path, -1));
        }
    }

    private static void versions(Transcript t, ZooKeeper zk) throws Exception {
        zk.create("/nodes/v", null, OPEN, CreateMode.PERSISTENT);
        for (int version : new int[] {1, 0, 0, 1, -1, -2, 3, Integer.MAX_VALUE}) {
            t.show("set at " + version, () -> zk.setData("/nodes/v", Transcript.bytes("" + version), version));
            t.show("set acl at " + version, () -> zk.setACL("/nodes/v", OPEN, version));
        }
        t.show("delete at 0", () -> run(() -> zk.delete("/nodes/v", 0)));
        t.show("delete at the version", () -> run(() -> zk.delete("/nodes/v", zk.exists("/nodes/v", false).getVersion())));
        t.show("gone", () -> zk.exists("/nodes/v", false));
    }

    private static void ephemerals(Transcript t, Transcript.Client a, Transcript.Client b) throws Exception {
        t.show("ephemeral", () -> a.zk.create("/nodes/e", null, OPEN, CreateMode.EPHEMERAL));
        t.show("seen by the other", () -> b.zk.exists("/nodes/e", false));
        for (CreateMode mode : CreateMode.values()) {
            t.show("child of an ephemeral " + mode, () -> a.zk.create("/nodes/e/x", null, OPEN, mode, null, mode.isTTL() ? 9 : -1));
        }
        t.show("other sets it", () -> b.zk.setData("/nodes/e", Transcript.bytes("b"), -1));
        t.show("other deletes it", () -> run(() -> b.zk.delete("/nodes/e", -1)));
        b.zk.create("/nodes/eb2", null, OPEN, CreateMode.EPHEMERAL);
        b.zk.create("/nodes/eb1", null, OPEN, CreateMode.EPHEMERAL);
        b.zk.create("/nodes/stat/eb", null, OPEN, CreateMode.EPHEMERAL);
        for (String prefix : new String[] {"/", "/nodes", "/nodes/e", "/nodes/stat", "/nothing"}) {
            t.show("ephemerals of b below " + prefix, () -> Transcript.sorted(b.zk.getEphemerals(prefix)));
        }
        t.show("ephemerals of b", () -> Transcript.sorted(b.zk.getEphemerals()));
        t.show("ephemerals of a", () -> Transcript.sorted(a.zk.getEphemerals()).size());
        b.zk.close();
        t.show("after b closed", () -> a.zk.exists("/nodes/eb1", false));
        t.show("parent after b closed", () -> a.zk.exists("/nodes/stat", false));
        t.show("count of all below", () -> a.zk.getAllChildrenNumber("/nodes"));
        t.show("count of all below one", () -> a.zk.getAllChildrenNumber("/nodes/stat"));
        t.show("count of all below a leaf", () -> a.zk.getAllChildrenNumber("/nodes/null"));
    }

    private static void sequences(Transcript t, ZooKeeper zk) throws Exception {
        zk.create("/nodes/q", null, OPEN, CreateMode.PERSISTENT);
        zk.create("/nodes/q/plain", null, OPEN, CreateMode.PERSISTENT);
        zk.delete("/nodes/q/plain", -1);
        for (CreateMode mode : CreateMode.values()) {
            if (mode.isSequential()) {
                t.show("sequence " + mode, () -> zk.create("/nodes/q/n-", null, OPEN, mode, null, mode.isTTL() ? 600000 : -1));
                t.show("nameless sequence " + mode, () -> zk.create("/nodes/q/", null, OPEN, mode, null, mode.isTTL() ? 600000 : -1));
            }
        }
        t.show("takes the number away", () -> zk.create("/nodes/q/0000000008", null, OPEN, CreateMode.PERSISTENT));
        t.show("the next one", () -> zk.create("/nodes/q/", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        t.show("a number in the way", () -> zk.create("/nodes/q/x0000000011", null, OPEN, CreateMode.PERSISTENT));
        t.show("runs into it", () -> zk.create("/nodes/q/x", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        t.show("stat", () -> zk.exists("/nodes/q", false));
    }

    interface Action {
        void run() throws Exception;
    }

    static Object run(Action action) throws Exception {
        action.run();
        return "done";
    }

    private static final class Call {
        final String name;
        final Transcript.Call call;

        Call(String name, Transcript.Call call) {
            this.name = name;
            this.call = call;
        }
    }
}
