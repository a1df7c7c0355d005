import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** Containers and nodes with a time to live, removed by the server in its own time. */
final class Lifetimes {
    private Lifetimes() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        ZooKeeper zk = a.zk;
        t.section(zk, "lifetimes");
        zk.create("/lifetimes/unused", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        zk.create("/lifetimes/c", Transcript.bytes("c"), Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        zk.create("/lifetimes/c/kid", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        t.show("container", () -> zk.exists("/lifetimes/c", false));
        zk.addWatch("/lifetimes/c", AddWatchMode.PERSISTENT);
        zk.delete("/lifetimes/c/kid", -1);
        t.until("container gone", () -> zk.exists("/lifetimes/c", false) == null);
        t.events(a, "events");
        t.show("parent", () -> zk.exists("/lifetimes", false));
        t.show("one never used stays", () -> zk.exists("/lifetimes/unused", false));
        Stat stat = new Stat();
        zk.create("/lifetimes/t", Transcript.bytes("t"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 100);
        t.show("ttl", () -> stat);
        zk.exists("/lifetimes/t", true);
        t.until("ttl node gone", () -> zk.exists("/lifetimes/t", false) == null);
        t.events(a, "events");
        String busy = zk.create("/lifetimes/b-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, new Stat(), 300);
        zk.create(busy + "/kid", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create("/lifetimes/mark", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 300);
        t.until("a like one without child gone", () -> zk.exists("/lifetimes/mark", false) == null);
        t.show("the one with a child stays", () -> zk.exists(busy, false));
        zk.delete(busy + "/kid", -1);
        t.until("gone when empty", () -> zk.exists(busy, false) == null);
        t.show("parent", () -> zk.exists("/lifetimes", false));
        zk.close();
    }
}
