import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** What a client learns after a lost connection: watches are set again and caught up. */
final class Reconnect {
    private Reconnect() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        t.section(a.zk, "reconnect");
        for (String what : new String[] {"nothing", "set", "child", "delete", "recreate"}) {
            try (TcpProxy proxy = new TcpProxy(t.address)) {
                Transcript.Client w = t.open("w", proxy.address(), Transcript.TIMEOUT_MS);
                round(t, a.zk, w, proxy, what);
                w.zk.close();
            }
        }
        inFlight(t, a);
        a.zk.close();
    }

    private static void round(Transcript t, ZooKeeper zk, Transcript.Client w, TcpProxy proxy, String what) throws Exception {
        String p = "/reconnect/" + what;
        t.say("while away: " + what);
        for (String name : new String[] {"", "/data", "/kids", "/kids/k", "/lasting", "/deep", "/deep/d"}) {
            zk.create(p + name, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        w.zk.create(p + "/mine", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        w.zk.getData(p + "/data", true, null);
        w.zk.exists(p + "/coming", true);
        w.zk.getChildren(p + "/kids", true);
        w.zk.addWatch(p + "/lasting", AddWatchMode.PERSISTENT);
        w.zk.addWatch(p + "/deep", AddWatchMode.PERSISTENT_RECURSIVE);
        long session = w.zk.getSessionId();
        proxy.cut();
        switch (what) {
            case "set":
                for (String name : new String[] {"/data", "/kids", "/lasting", "/deep/d"}) {
                    zk.setData(p + name, null, -1);
                }
                zk.create(p + "/coming", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                break;
            case "child":
                for (String name : new String[] {"/data/x", "/kids/x", "/lasting/x", "/deep/x"}) {
                    zk.create(p + name, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                }
                break;
            case "delete":
                for (String name : new String[] {"/data", "/kids/k", "/kids", "/lasting", "/deep/d"}) {
                    zk.delete(p + name, -1);
                }
                break;
            case "recreate":
                for (String name : new String[] {"/data", "/lasting"}) {
                    zk.delete(p + name, -1);
                    zk.create(p + name, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                }
                break;
            default:
                break;
        }
        t.until("disconnected", () -> w.zk.getState() != ZooKeeper.States.CONNECTED);
        proxy.heal();
        t.until("connected", () -> w.zk.getState() == ZooKeeper.States.CONNECTED);
        t.sortedEvents(w, "caught up");
        t.say("  same session: " + (session == w.zk.getSessionId()));
        t.show("  ephemeral", () -> zk.exists(p + "/mine", false));
        for (String name : new String[] {"/data", "/coming", "/kids", "/lasting", "/deep/d"}) {
            t.show("  later set " + name, () -> zk.setData(p + name, null, -1).getVersion());
            t.show("  later child of " + name, () -> zk.create(p + name + "/later", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
            t.events(w, "events");
        }
    }

    /** A write sent before the cut is either done or not, and never half. */
    private static void inFlight(Transcript t, Transcript.Client a) throws Exception {
        try (TcpProxy proxy = new TcpProxy(t.address)) {
            Transcript.Client w = t.open("w", proxy.address(), Transcript.TIMEOUT_MS);
            w.zk.addAuthInfo("digest", Transcript.bytes("bob:pw"));
            t.show("made before", () -> w.zk.create("/reconnect/auth", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
            proxy.cut();
            t.until("disconnected", () -> w.zk.getState() != ZooKeeper.States.CONNECTED);
            t.show("while away", () -> w.zk.exists("/reconnect", false));
            proxy.heal();
            t.until("connected", () -> w.zk.getState() == ZooKeeper.States.CONNECTED);
            t.show("identity is sent again", () -> w.zk.setData("/reconnect/auth", null, -1));
            t.show("big data", () -> w.zk.create("/reconnect/big", new byte[1_000_000], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
            t.show("too big", () -> w.zk.setData("/reconnect/big", new byte[1_100_000], -1));
            t.until("connected", () -> w.zk.getState() == ZooKeeper.States.CONNECTED);
            t.show("big one is as before", () -> a.zk.exists("/reconnect/big", false));
            w.zk.close();
        }
    }
}
