import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.zookeeper.CreateMode;

/** Nodes that are kept alive, groups, and watches that stay. */
final class Nodes {
    static void run(Transcript t) throws Exception {
        CuratorFramework a = t.client();
        CuratorFramework b = t.client();
        for (CreateMode mode : new CreateMode[] {CreateMode.EPHEMERAL, CreateMode.PERSISTENT, CreateMode.CONTAINER}) {
            String path = "/nodes/" + mode;
            PersistentNode node = new PersistentNode(a, mode, false, path, "kept".getBytes());
            node.start();
            t.show(mode + ": created", () -> node.waitForInitialCreate(Transcript.LIMIT_S, TimeUnit.SECONDS));
            t.tree(b, path);
            long before = b.checkExists().forPath(path).getCzxid();
            b.delete().forPath(path);
            t.until(mode + ": made again", () -> {
                var stat = b.checkExists().forPath(path);
                return stat != null && stat.getCzxid() != before;
            });
            node.setData("changed".getBytes());
            t.until(mode + ": changed", () -> new String(b.getData().forPath(path)).equals("changed"));
            node.close();
            t.until(mode + ": gone", () -> b.checkExists().forPath(path) == null);
        }
        PersistentNode guarded = new PersistentNode(a, CreateMode.EPHEMERAL_SEQUENTIAL, true, "/nodes/seq-", new byte[0]);
        guarded.start();
        guarded.waitForInitialCreate(Transcript.LIMIT_S, TimeUnit.SECONDS);
        t.say("protected: " + guarded.getActualPath());
        guarded.close();

        PersistentTtlNode ttl = new PersistentTtlNode(a, "/nodes/ttl", 5000, "t".getBytes());
        ttl.start();
        t.show("ttl: created", () -> ttl.waitForInitialCreate(Transcript.LIMIT_S, TimeUnit.SECONDS));
        t.until("ttl: touched", () -> b.checkExists().forPath("/nodes/ttl/touch") != null);
        t.tree(b, "/nodes/ttl/touch");
        t.show("ttl: data", () -> b.getData().forPath("/nodes/ttl"));
        ttl.close();

        GroupMember first = new GroupMember(a, "/nodes/group", "first", "1".getBytes());
        GroupMember second = new GroupMember(b, "/nodes/group", "second", "2".getBytes());
        first.start();
        second.start();
        t.until("group: two members", () -> first.getCurrentMembers().size() == 2);
        t.say("group: " + new TreeMap<>(first.getCurrentMembers()).keySet());
        second.setThisData("22".getBytes());
        t.until("group: new data", () -> new String(first.getCurrentMembers().get("second")).equals("22"));
        second.close();
        t.until("group: one member", () -> first.getCurrentMembers().size() == 1);
        first.close();

        Transcript.Events events = t.new Events();
        b.create().forPath("/nodes/watched");
        PersistentWatcher watcher = new PersistentWatcher(a, "/nodes/watched", true);
        watcher.getListenable().addListener(e -> events.add(e.getType() + " " + e.getPath()));
        watcher.getResetListenable().addListener(() -> events.add("reset"));
        watcher.start();
        events.expect("watcher", 1);
        b.create().forPath("/nodes/watched/x");
        b.setData().forPath("/nodes/watched/x", new byte[1]);
        b.setData().forPath("/nodes/watched", new byte[1]);
        b.delete().forPath("/nodes/watched/x");
        b.delete().forPath("/nodes/watched");
        events.expect("watcher", 5);
        watcher.close();
    }
}
