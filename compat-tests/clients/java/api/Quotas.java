import java.util.Arrays;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.StatsTrack;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.cli.DelQuotaCommand;
import org.apache.zookeeper.cli.SetQuotaCommand;

/** Soft and hard limits, the usage nodes, and what enforceQuota=true refuses. */
final class Quotas {
    private static final String ROOT = "/zookeeper/quota";

    private Quotas() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        ZooKeeper zk = a.zk;
        t.section(zk, "quotas");
        soft(t, zk);
        hard(t, zk, "count", 3, -1);
        hard(t, zk, "bytes", -1, 10);
        hard(t, zk, "both", 3, 10);
        nested(t, zk);
        texts(t, zk);
        zk.close();
    }

    private static StatsTrack limits(long count, long bytes, long countHard, long bytesHard) {
        StatsTrack track = new StatsTrack();
        track.setCount(count);
        track.setBytes(bytes);
        track.setCountHardLimit(countHard);
        track.setByteHardLimit(bytesHard);
        return track;
    }

    private static void usage(Transcript t, ZooKeeper zk, String path) {
        t.show("  usage", () -> zk.getData(ROOT + path + "/zookeeper_stats", false, null));
    }

    private static void create(ZooKeeper zk, String path, String data) throws Exception {
        zk.create(path, data == null ? null : Transcript.bytes(data), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    private static void soft(Transcript t, ZooKeeper zk) throws Exception {
        create(zk, "/quotas/soft", "12345");
        create(zk, "/quotas/soft/kid", "12");
        t.show("soft", () -> SetQuotaCommand.createQuota(zk, "/quotas/soft", limits(1, 1, -1, -1)));
        t.show("  limits", () -> zk.getData(ROOT + "/quotas/soft/zookeeper_limits", false, null));
        t.show("  limits stat", () -> zk.exists(ROOT + "/quotas/soft/zookeeper_limits", false));
        t.show("  stats stat", () -> zk.exists(ROOT + "/quotas/soft/zookeeper_stats", false));
        usage(t, zk, "/quotas/soft");
        zk.exists(ROOT + "/quotas/soft/zookeeper_stats", true);
        t.show("over the soft limit", () -> Nodes.run(() -> create(zk, "/quotas/soft/more", "xyz")));
        usage(t, zk, "/quotas/soft");
        t.show("  stats stat", () -> zk.exists(ROOT + "/quotas/soft/zookeeper_stats", false));
        t.show("grow", () -> zk.setData("/quotas/soft/kid", new byte[20], -1).getVersion());
        usage(t, zk, "/quotas/soft");
        t.show("null", () -> zk.setData("/quotas/soft/kid", null, -1).getVersion());
        usage(t, zk, "/quotas/soft");
        zk.delete("/quotas/soft/kid", -1);
        usage(t, zk, "/quotas/soft");
        t.show("ephemeral and sequence", () -> zk.create("/quotas/soft/e", Transcript.bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
        usage(t, zk, "/quotas/soft");
        t.show("multi", () -> zk.multi(Arrays.asList(Op.create("/quotas/soft/m", Transcript.bytes("mm"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.setData("/quotas/soft/m", Transcript.bytes("mmm"), -1))).size());
        usage(t, zk, "/quotas/soft");
        t.show("delete the quota", () -> DelQuotaCommand.delQuota(zk, "/quotas/soft", new StatsTrack()));
        t.show("again", () -> DelQuotaCommand.delQuota(zk, "/quotas/soft", new StatsTrack()));
        t.show("quota tree", () -> zk.exists(ROOT + "/quotas", false));
    }

    private static void hard(Transcript t, ZooKeeper zk, String name, long count, long bytes) throws Exception {
        String p = "/quotas/" + name;
        create(zk, p, "1");
        t.show("hard " + name, () -> SetQuotaCommand.createQuota(zk, p, limits(-1, -1, count, bytes)));
        t.show("  limits", () -> zk.getData(ROOT + p + "/zookeeper_limits", false, null));
        for (int i = 0; i < 4; i++) {
            String kid = p + "/k" + i;
            t.show("create " + i, () -> Nodes.run(() -> create(zk, kid, "abc")));
            usage(t, zk, p);
        }
        t.show("empty child", () -> Nodes.run(() -> create(zk, p + "/empty", null)));
        t.show("below a child", () -> Nodes.run(() -> create(zk, p + "/k0/deep", "d")));
        t.show("existing over the limit", () -> Nodes.run(() -> create(zk, p + "/k0", "much too long for this")));
        t.show("grow", () -> zk.setData(p, Transcript.bytes("123456789012"), -1).getVersion());
        t.show("grow with a wrong version", () -> zk.setData(p, Transcript.bytes("123456789012"), 99).getVersion());
        t.show("shrink", () -> zk.setData(p, null, -1).getVersion());
        t.show("grow to the brim", () -> zk.setData(p, Transcript.bytes("1234"), -1).getVersion());
        usage(t, zk, p);
        t.show("multi over", () -> zk.multi(Arrays.asList(Op.create(p + "/m1", Transcript.bytes("12345678901"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create(p + "/m2", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT))));
        t.show("sequence", () -> zk.create(p + "/s", Transcript.bytes("s"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
        t.show("container", () -> zk.create(p + "/c", Transcript.bytes("s"), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER));
        t.show("ttl", () -> zk.create(p + "/t", Transcript.bytes("s"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, null, 600000));
        usage(t, zk, p);
        t.show("stat", () -> zk.exists(p, false));
    }

    private static void nested(Transcript t, ZooKeeper zk) throws Exception {
        create(zk, "/quotas/outer", null);
        create(zk, "/quotas/outer/inner", null);
        t.show("outer", () -> SetQuotaCommand.createQuota(zk, "/quotas/outer", limits(-1, -1, 2, -1)));
        t.show("inner by the shell's rule", () -> SetQuotaCommand.createQuota(zk, "/quotas/outer/inner", limits(-1, -1, 9, -1)));
        t.show("missing node", () -> SetQuotaCommand.createQuota(zk, "/quotas/missing", limits(5, -1, -1, -1)));
        create(zk, ROOT + "/quotas/outer/inner", null);
        create(zk, ROOT + "/quotas/outer/inner/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=9");
        create(zk, ROOT + "/quotas/outer/inner/zookeeper_stats", null);
        usage(t, zk, "/quotas/outer/inner");
        t.show("the deeper quota rules", () -> Nodes.run(() -> create(zk, "/quotas/outer/inner/x", "x")));
        usage(t, zk, "/quotas/outer");
        usage(t, zk, "/quotas/outer/inner");
        t.show("the outer one still does outside", () -> Nodes.run(() -> create(zk, "/quotas/outer/y", "y")));
        zk.delete("/quotas/outer/inner/x", -1);
        usage(t, zk, "/quotas/outer");
        usage(t, zk, "/quotas/outer/inner");
    }

    private static void texts(Transcript t, ZooKeeper zk) throws Exception {
        int n = 0;
        for (String text : new String[] {
            "count=1,bytes=5", "count=1,bytes=-1", "bytes=5,count=1", "count=1", "countHardLimit=1", "countHardLimit=1;byteHardLimit=3",
            "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=-1", "byteHardLimit=3"}) {
            String p = "/quotas/text" + n++;
            create(zk, p, "1");
            create(zk, ROOT + p, null);
            t.show("limits '" + text + "'", () -> Nodes.run(() -> create(zk, ROOT + p + "/zookeeper_limits", text)));
            t.show("  stats", () -> Nodes.run(() -> create(zk, ROOT + p + "/zookeeper_stats", null)));
            t.show("  kid", () -> Nodes.run(() -> create(zk, p + "/a", "22")));
            t.show("  another", () -> Nodes.run(() -> create(zk, p + "/b", "333")));
            usage(t, zk, p);
            t.show("  limits changed", () -> zk.setData(ROOT + p + "/zookeeper_limits", Transcript.bytes("count=100,bytes=100=;countHardLimit=100"), -1).getVersion());
            t.show("  a third", () -> Nodes.run(() -> create(zk, p + "/c", "333")));
            usage(t, zk, p);
        }
    }
}
