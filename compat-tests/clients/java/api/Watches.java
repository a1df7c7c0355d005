import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/** Every kind of watch against every kind of change; removal; suppression by ACL. */
final class Watches {
    interface Action {
        void run(ZooKeeper zk, String path) throws Exception;
    }

    private Watches() {
    }

    private static Map<String, Action> kinds() {
        Map<String, Action> kinds = new LinkedHashMap<>();
        kinds.put("data", (zk, p) -> zk.getData(p, true, null));
        kinds.put("exists", (zk, p) -> zk.exists(p, true));
        kinds.put("children", (zk, p) -> zk.getChildren(p, true));
        kinds.put("children2", (zk, p) -> zk.getChildren(p, true, new org.apache.zookeeper.data.Stat()));
        kinds.put("config", (zk, p) -> zk.getConfig(true, null));
        kinds.put("persistent", (zk, p) -> zk.addWatch(p, AddWatchMode.PERSISTENT));
        kinds.put("recursive", (zk, p) -> zk.addWatch(p, AddWatchMode.PERSISTENT_RECURSIVE));
        kinds.put("both", (zk, p) -> {
            zk.addWatch(p, AddWatchMode.PERSISTENT);
            zk.addWatch(p, AddWatchMode.PERSISTENT_RECURSIVE);
        });
        kinds.put("all", (zk, p) -> {
            zk.exists(p, true);
            zk.addWatch(p, AddWatchMode.PERSISTENT_RECURSIVE);
            zk.addWatch(p, AddWatchMode.PERSISTENT);
        });
        kinds.put("exists and children", (zk, p) -> {
            zk.exists(p, true);
            zk.getChildren(p, true);
        });
        return kinds;
    }

    private static Map<String, Action> changes() {
        Map<String, Action> changes = new LinkedHashMap<>();
        changes.put("create", (zk, p) -> zk.create(p, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        changes.put("set", (zk, p) -> zk.setData(p, null, -1));
        changes.put("set acl", (zk, p) -> zk.setACL(p, Ids.OPEN_ACL_UNSAFE, -1));
        changes.put("create child", (zk, p) -> zk.create(p + "/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        changes.put("set child", (zk, p) -> zk.setData(p + "/c", null, -1));
        changes.put("create grandchild", (zk, p) -> zk.create(p + "/c/g", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        changes.put("set grandchild", (zk, p) -> zk.setData(p + "/c/g", null, -1));
        changes.put("delete grandchild", (zk, p) -> zk.delete(p + "/c/g", -1));
        changes.put("delete child", (zk, p) -> zk.delete(p + "/c", -1));
        changes.put("sequence", (zk, p) -> zk.delete(zk.create(p + "/s", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL), -1));
        changes.put("sibling", (zk, p) -> {
            zk.create(p + "x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            zk.delete(p + "x", -1);
        });
        changes.put("failed create", (zk, p) -> fails(() -> zk.create(p, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)));
        changes.put("failed set", (zk, p) -> fails(() -> zk.setData(p, null, 9999)));
        changes.put("delete", (zk, p) -> zk.delete(p, -1));
        changes.put("create again", (zk, p) -> zk.create(p, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        changes.put("delete again", (zk, p) -> zk.delete(p, -1));
        return changes;
    }

    private static void fails(Transcript.Call call) {
        try {
            call.run();
            throw new IllegalStateException("expected a failure");
        } catch (org.apache.zookeeper.KeeperException e) {
            return;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        t.section(a.zk, "watches");
        int n = 0;
        for (Map.Entry<String, Action> kind : kinds().entrySet()) {
            for (boolean again : new boolean[] {false, true}) {
                for (boolean self : new boolean[] {false, true}) {
                    matrix(t, a, kind.getKey(), kind.getValue(), again, self, "/watches/n" + n++);
                }
            }
        }
        removal(t, a.zk);
        hidden(t, a.zk);
        closing(t, a.zk);
        a.zk.close();
    }

    /** again: the watch is set anew before each change. self: the watcher makes the changes. */
    private static void matrix(Transcript t, Transcript.Client a, String name, Action watch, boolean again, boolean self, String path) throws Exception {
        Transcript.Client w = t.open("w");
        t.say("watch " + name + (again ? ", before each change" : ", once") + (self ? ", by itself" : ""));
        ZooKeeper actor = self ? w.zk : a.zk;
        boolean needs = name.startsWith("data") || name.contains("children");
        if (needs) {
            actor.create(path, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        if (!again) {
            watch.run(w.zk, path);
        }
        for (Map.Entry<String, Action> change : changes().entrySet()) {
            if (needs && change.getKey().equals("create")) {
                continue;
            }
            if (again && !(needs && a.zk.exists(path, false) == null)) {
                watch.run(w.zk, path);
            }
            change.getValue().run(actor, path);
            t.events(w, change.getKey());
        }
        w.zk.close();
    }

    private static void removal(Transcript t, ZooKeeper zk) throws Exception {
        t.say("removal");
        int n = 0;
        for (Map.Entry<String, Action> kind : kinds().entrySet()) {
            for (WatcherType type : WatcherType.values()) {
                Transcript.Client w = t.open("w");
                String p = "/watches/r" + n++;
                zk.create(p, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                kind.getValue().run(w.zk, p);
                String label = kind.getKey() + " remove " + type;
                t.show(label + " of this watcher", () -> Nodes.run(() -> w.zk.removeWatches(p, w, type, false)));
                t.show(label + " of all", () -> Nodes.run(() -> w.zk.removeAllWatches(p, type, false)));
                t.sortedEvents(w, "events");
                zk.setData(p, null, -1);
                zk.create(p + "/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                t.sortedEvents(w, "after");
                t.show(label + " elsewhere", () -> Nodes.run(() -> w.zk.removeAllWatches("/watches", type, false)));
                w.zk.close();
            }
        }
    }

    private static void hidden(Transcript t, ZooKeeper zk) throws Exception {
        t.say("events hidden by ACL");
        Transcript.Client w = t.open("w");
        ACL noRead = new ACL(30, new Id("world", "anyone"));
        zk.create("/watches/h", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        w.zk.getData("/watches/h", true, null);
        w.zk.getChildren("/watches/h", true);
        w.zk.addWatch("/watches/h", AddWatchMode.PERSISTENT_RECURSIVE);
        w.zk.addWatch("/watches/absent", AddWatchMode.PERSISTENT);
        zk.setACL("/watches/h", Collections.singletonList(noRead), -1);
        zk.setData("/watches/h", null, -1);
        t.events(w, "set unreadable");
        zk.create("/watches/h/open", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        t.events(w, "create readable child");
        zk.create("/watches/h/shut", null, Collections.singletonList(noRead), CreateMode.PERSISTENT);
        t.events(w, "create unreadable child");
        zk.delete("/watches/h/shut", -1);
        t.events(w, "delete unreadable child");
        zk.create("/watches/absent", null, Collections.singletonList(noRead), CreateMode.PERSISTENT);
        t.events(w, "create unreadable");
        zk.delete("/watches/absent", -1);
        t.events(w, "delete unreadable");
        zk.setACL("/watches/h", Ids.OPEN_ACL_UNSAFE, -1);
        zk.setData("/watches/h", null, -1);
        t.events(w, "set readable again");
        t.show("get unreadable sets no watch", () -> {
            zk.create("/watches/u", null, Collections.singletonList(noRead), CreateMode.PERSISTENT);
            return w.zk.getData("/watches/u", true, null);
        });
        zk.setACL("/watches/u", Ids.OPEN_ACL_UNSAFE, -1);
        zk.setData("/watches/u", null, -1);
        t.events(w, "after");
        t.show("watch on the root", () -> Nodes.run(() -> w.zk.addWatch("/", AddWatchMode.PERSISTENT_RECURSIVE)));
        zk.create("/watches-root", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.delete("/watches-root", -1);
        t.events(w, "root recursive");
        w.zk.close();
    }

    private static void closing(Transcript t, ZooKeeper zk) throws Exception {
        t.say("events of a closing session");
        Transcript.Client w = t.open("w");
        Transcript.Client e = t.open("e");
        zk.create("/watches/p", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        w.zk.addWatch("/watches/p", AddWatchMode.PERSISTENT_RECURSIVE);
        w.zk.getChildren("/watches/p", true);
        e.zk.create("/watches/p/1", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        t.events(w, "one ephemeral");
        w.zk.getChildren("/watches/p", true);
        w.zk.exists("/watches/p/1", true);
        e.zk.close();
        t.events(w, "closed");
        w.zk.close();
    }
}
