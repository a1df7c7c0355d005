import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;

/** sync, configuration, recursive helpers, and replies that must come in order. */
final class Extras {
    private Extras() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        ZooKeeper zk = a.zk;
        t.section(zk, "extras");
        t.show("sync", () -> Nodes.run(() -> zk.sync("/extras")));
        t.show("sync of a missing node", () -> Nodes.run(() -> zk.sync("/extras/none")));
        t.show("config", () -> zk.getConfig(false, new Stat()));
        t.show("config stat", () -> zk.exists("/zookeeper/config", false));
        for (int i = 0; i < 20; i++) {
            zk.create("/extras/n" + i, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            zk.create("/extras/n" + i + "/kid", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        StringBuilder order = new StringBuilder();
        java.util.concurrent.CountDownLatch done = new java.util.concurrent.CountDownLatch(60);
        for (int i = 0; i < 20; i++) {
            int n = i;
            zk.setData("/extras/n0", Transcript.bytes("" + i), -1, (rc, path, context, stat) -> {
                order.append("s").append(stat.getVersion()).append(' ');
                done.countDown();
            }, null);
            zk.getData("/extras/n0", false, (rc, path, context, data, stat) -> {
                order.append("g").append(new String(data)).append(' ');
                done.countDown();
            }, null);
            zk.exists("/extras/none" + n, false, (rc, path, context, stat) -> {
                order.append(rc).append(' ');
                done.countDown();
            }, null);
        }
        t.show("answers in order", () -> done.await(Transcript.LIMIT_S, java.util.concurrent.TimeUnit.SECONDS) + " " + order);
        t.show("whole subtree", () -> Transcript.sorted(ZKUtil.listSubTreeBFS(zk, "/extras")).size());
        t.show("recursive delete", () -> Nodes.run(() -> ZKUtil.deleteRecursive(zk, "/extras/n1")));
        t.show("recursive delete in batches", () -> ZKUtil.deleteRecursive(zk, "/extras/n2", 2));
        t.show("stat", () -> zk.exists("/extras", false));
        zk.close();
        reconfig(t);
    }

    static void reconfig(Transcript t) throws Exception {
        Transcript.Client c = new Transcript.Client("admin");
        ZooKeeperAdmin admin = new ZooKeeperAdmin(t.address, Transcript.TIMEOUT_MS, c);
        c.zk = admin;
        c.connected.await(Transcript.LIMIT_S, java.util.concurrent.TimeUnit.SECONDS);
        t.show("reconfig add", () -> admin.reconfigure("server.2=127.0.0.1:2:3;4", null, null, -1, new Stat()));
        t.show("reconfig remove", () -> admin.reconfigure(null, "1", null, -1, new Stat()));
        t.show("reconfig members", () -> admin.reconfigure(null, null, "server.1=127.0.0.1:2:3;4", 5, new Stat()));
        t.show("reconfig nothing", () -> admin.reconfigure((String) null, null, null, -1, new Stat()));
        t.show("as super", () -> {
            admin.addAuthInfo("digest", Transcript.bytes("super:secret"));
            return admin.reconfigure("server.2=127.0.0.1:2:3;4", null, null, -1, new Stat());
        });
        t.show("config", () -> admin.getConfig(false, new Stat()));
        t.show("alive", () -> admin.exists("/", false) != null);
        admin.close();
    }
}
