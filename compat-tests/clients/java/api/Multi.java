import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/** Transactions: every kind of sub-operation, every kind of failure at every position. */
final class Multi {
    private static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;

    private Multi() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        ZooKeeper zk = a.zk;
        t.section(zk, "multi");
        zk.create("/multi/n", Transcript.bytes("n"), OPEN, CreateMode.PERSISTENT);
        zk.create("/multi/full", null, OPEN, CreateMode.PERSISTENT);
        zk.create("/multi/full/kid", null, OPEN, CreateMode.PERSISTENT);
        zk.create("/multi/e", null, OPEN, CreateMode.EPHEMERAL);
        zk.create("/multi/locked", null, OPEN, CreateMode.PERSISTENT);
        zk.create("/multi/locked/kid", null, OPEN, CreateMode.PERSISTENT);
        zk.setACL("/multi/locked", Collections.singletonList(new ACL(16, new Id("world", "anyone"))), -1);
        successes(t, a);
        failures(t, zk);
        dependent(t, zk);
        reads(t, zk);
        watched(t, a);
        zk.close();
    }

    private static void successes(Transcript t, Transcript.Client a) throws Exception {
        ZooKeeper zk = a.zk;
        t.show("empty", () -> zk.multi(new ArrayList<>()));
        t.show("one create", () -> zk.multi(Arrays.asList(Op.create("/multi/one", null, OPEN, CreateMode.PERSISTENT))));
        t.show("one check", () -> zk.multi(Arrays.asList(Op.check("/multi/n", 0))));
        t.show("check of any version", () -> zk.multi(Arrays.asList(Op.check("/multi/n", -1))));
        for (CreateMode mode : CreateMode.values()) {
            t.show("create " + mode, () -> zk.multi(Arrays.asList(mode.isTTL()
                ? Op.create("/multi/" + mode, null, OPEN, mode, 60000) : Op.create("/multi/" + mode, null, OPEN, mode))));
        }
        t.show("all kinds", () -> zk.multi(Arrays.asList(
            Op.create("/multi/k", Transcript.bytes("1"), OPEN, CreateMode.PERSISTENT),
            Op.setData("/multi/k", Transcript.bytes("2"), 0),
            Op.check("/multi/k", 1),
            Op.create("/multi/k/c", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL),
            Op.setData("/multi/k", Transcript.bytes("3"), 1),
            Op.delete("/multi/one", 0))));
        t.show("  k", () -> zk.exists("/multi/k", false));
        t.show("create and delete at once", () -> zk.multi(Arrays.asList(
            Op.create("/multi/gone", null, OPEN, CreateMode.PERSISTENT), Op.delete("/multi/gone", 0))));
        t.show("delete and create at once", () -> zk.multi(Arrays.asList(
            Op.delete("/multi/n", 0), Op.create("/multi/n", Transcript.bytes("again"), OPEN, CreateMode.PERSISTENT))));
        t.show("  n", () -> zk.exists("/multi/n", false));
        t.show("  parent", () -> zk.exists("/multi", false));
        t.show("transaction", () -> zk.transaction().check("/multi/n", 0).setData("/multi/n", Transcript.bytes("t"), 0).commit());
    }

    private static Map<String, Op> broken() {
        Map<String, Op> bad = new LinkedHashMap<>();
        ACL invalid = new ACL(31, new Id("nope", "x"));
        bad.put("create existing", Op.create("/multi/n", null, OPEN, CreateMode.PERSISTENT));
        bad.put("create orphan", Op.create("/multi/none/x", null, OPEN, CreateMode.PERSISTENT));
        bad.put("create below ephemeral", Op.create("/multi/e/x", null, OPEN, CreateMode.PERSISTENT));
        bad.put("create with invalid acl", Op.create("/multi/x", null, Collections.singletonList(invalid), CreateMode.PERSISTENT));
        bad.put("create without right", Op.create("/multi/locked/x", null, OPEN, CreateMode.PERSISTENT));
        bad.put("create ttl out of range", Op.create("/multi/x", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, 0xFFFFFFFFFFL));
        bad.put("create container existing", Op.create("/multi/n", null, OPEN, CreateMode.CONTAINER));
        bad.put("delete missing", Op.delete("/multi/none", -1));
        bad.put("delete not empty", Op.delete("/multi/full", -1));
        bad.put("delete wrong version", Op.delete("/multi/n", 77));
        bad.put("delete without right", Op.delete("/multi/locked/kid", -1));
        bad.put("delete root", Op.delete("/", -1));
        bad.put("set missing", Op.setData("/multi/none", null, -1));
        bad.put("set wrong version", Op.setData("/multi/n", null, 77));
        bad.put("set without right", Op.setData("/multi/locked", null, -1));
        bad.put("check missing", Op.check("/multi/none", -1));
        bad.put("check wrong version", Op.check("/multi/n", 77));
        bad.put("check without right", Op.check("/multi/locked", -1));
        return bad;
    }

    private static void failures(Transcript t, ZooKeeper zk) throws Exception {
        for (Map.Entry<String, Op> bad : broken().entrySet()) {
            for (int position = 0; position < 3; position++) {
                List<Op> ops = new ArrayList<>(Arrays.asList(
                    Op.create("/multi/good", null, OPEN, CreateMode.PERSISTENT), Op.setData("/multi/full", null, -1)));
                ops.add(position, bad.getValue());
                t.show(bad.getKey() + " at " + position, () -> zk.multi(ops));
                t.show("  nothing left", () -> (zk.exists("/multi/good", false) == null) + " " + zk.exists("/multi/full", false).getVersion());
                for (String left : new String[] {"/multi/good", "/multi/x", "/multi/locked/x"}) {
                    if (zk.exists(left, false) != null) {
                        zk.delete(left, -1);
                    }
                }
            }
        }
        t.show("two failures", () -> zk.multi(Arrays.asList(
            Op.check("/multi/n", -1), Op.delete("/multi/none", -1), Op.check("/multi/n", 77), Op.create("/multi/good", null, OPEN, CreateMode.PERSISTENT))));
        t.show("parent", () -> zk.exists("/multi", false));
        t.show("next zxid", () -> zk.setData("/multi/n", null, -1));
    }

    private static void dependent(Transcript t, ZooKeeper zk) throws Exception {
        t.show("tree in one go", () -> zk.multi(Arrays.asList(
            Op.create("/multi/d", null, OPEN, CreateMode.PERSISTENT),
            Op.create("/multi/d/1", null, OPEN, CreateMode.PERSISTENT),
            Op.create("/multi/d/1/2", null, OPEN, CreateMode.PERSISTENT),
            Op.create("/multi/d/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.create("/multi/d/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL),
            Op.delete("/multi/d/1/2", 0))));
        t.show("  d", () -> zk.exists("/multi/d", false));
        t.show("  d/1", () -> zk.exists("/multi/d/1", false));
        t.show("failed tree", () -> zk.multi(Arrays.asList(
            Op.create("/multi/f", null, OPEN, CreateMode.PERSISTENT), Op.create("/multi/f/1", null, OPEN, CreateMode.PERSISTENT),
            Op.delete("/multi/f", -1))));
        t.show("sequence after a rollback", () -> zk.create("/multi/d/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        t.show("failed sequence", () -> zk.multi(Arrays.asList(
            Op.create("/multi/d/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL), Op.check("/multi/none", 0))));
        t.show("sequence after that", () -> zk.create("/multi/d/s", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL));
        t.show("ephemeral parent in the same", () -> zk.multi(Arrays.asList(
            Op.create("/multi/ep", null, OPEN, CreateMode.EPHEMERAL), Op.create("/multi/ep/x", null, OPEN, CreateMode.PERSISTENT))));
        t.show("pipelined behind a failing one", () -> {
            zk.multi(Arrays.asList(Op.setData("/multi/n", Transcript.bytes("lost"), -1), Op.check("/multi/none", 0)), (rc, path, context, results) -> { }, null);
            return zk.getData("/multi/n", false, null);
        });
    }

    private static void reads(Transcript t, ZooKeeper zk) throws Exception {
        t.show("reads", () -> zk.multi(Arrays.asList(Op.getData("/multi/n"), Op.getChildren("/multi/d"), Op.getChildren("/multi/full"))));
        t.show("reads with failures", () -> zk.multi(Arrays.asList(
            Op.getData("/multi/none"), Op.getData("/multi/n"), Op.getChildren("/multi/none"), Op.getData("/multi/locked"), Op.getChildren("/multi/locked"))));
        t.show("reads and writes mixed", () -> zk.multi(Arrays.asList(Op.getData("/multi/n"), Op.setData("/multi/n", null, -1))));
    }

    private static void watched(Transcript t, Transcript.Client a) throws Exception {
        Transcript.Client w = t.open("w");
        w.zk.getData("/multi/n", true, null);
        w.zk.getChildren("/multi", true);
        w.zk.exists("/multi/new", true);
        w.zk.addWatch("/multi", org.apache.zookeeper.AddWatchMode.PERSISTENT_RECURSIVE);
        t.show("watched", () -> a.zk.multi(Arrays.asList(
            Op.setData("/multi/n", null, -1), Op.create("/multi/new", null, OPEN, CreateMode.PERSISTENT), Op.create("/multi/new/kid", null, OPEN, CreateMode.PERSISTENT),
            Op.delete("/multi/new/kid", -1), Op.delete("/multi/new", -1), Op.setData("/multi/n", null, -1))));
        t.events(w, "events");
        t.show("failed", () -> a.zk.multi(Arrays.asList(Op.setData("/multi/n", null, -1), Op.check("/multi/none", 0))));
        t.events(w, "events");
        w.zk.close();
    }
}
