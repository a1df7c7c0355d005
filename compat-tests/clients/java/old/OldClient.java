import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** The whole API of the 3.4 client, whose requests lack everything that came later. */
public final class OldClient implements Watcher {
    interface Call {
        Object run() throws Exception;
    }

    private static long base;
    private final CountDownLatch connected = new CountDownLatch(1);
    private final CountDownLatch expired = new CountDownLatch(1);
    private final List<String> events = Collections.synchronizedList(new ArrayList<>());

    private OldClient() {
    }

    @Override
    public void process(WatchedEvent event) {
        if (event.getType() != Event.EventType.None) {
            events.add(event.getType() + "(" + event.getPath() + ")");
        } else if (event.getState() == Event.KeeperState.SyncConnected) {
            connected.countDown();
        } else if (event.getState() == Event.KeeperState.Expired) {
            expired.countDown();
        }
    }

    private static String stat(Stat s) {
        return "{c=" + (s.getCzxid() - base) + " m=" + (s.getMzxid() - base) + " p=" + (s.getPzxid() - base) + " v=" + s.getVersion() + " cv=" + s.getCversion()
            + " av=" + s.getAversion() + " eph=" + (s.getEphemeralOwner() != 0) + " len=" + s.getDataLength() + " kids=" + s.getNumChildren() + "}";
    }

    private static String text(Object value) {
        if (value instanceof Stat) {
            return stat((Stat) value);
        }
        if (value instanceof byte[]) {
            return "\"" + new String((byte[]) value) + "\"";
        }
        if (value instanceof ACL) {
            ACL acl = (ACL) value;
            return acl.getPerms() + ":" + acl.getId().getScheme() + ":" + acl.getId().getId();
        }
        if (value instanceof OpResult.ErrorResult) {
            return "error " + ((OpResult.ErrorResult) value).getErr();
        }
        if (value instanceof OpResult.CreateResult) {
            return "create " + ((OpResult.CreateResult) value).getPath();
        }
        if (value instanceof OpResult.SetDataResult) {
            return "set " + stat(((OpResult.SetDataResult) value).getStat());
        }
        if (value instanceof OpResult) {
            return value.getClass().getSimpleName();
        }
        if (value instanceof List) {
            List<String> parts = new ArrayList<>();
            for (Object part : (List<?>) value) {
                parts.add(text(part));
            }
            return parts.toString();
        }
        return String.valueOf(value);
    }

    private static void show(String label, Call call) {
        try {
            System.out.println(label + " -> " + text(call.run()));
        } catch (KeeperException e) {
            System.out.println(label + " ! " + e.code() + " " + (e.getResults() == null ? "" : text(e.getResults())));
        } catch (Exception e) {
            System.out.println(label + " ! " + e.getClass().getSimpleName());
        }
    }

    private static List<String> sorted(List<String> names) {
        Collections.sort(names);
        return names;
    }

    private static ZooKeeper open(String address, OldClient watcher) throws Exception {
        ZooKeeper zk = new ZooKeeper(address, 10000, watcher);
        if (!watcher.connected.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("cannot connect to " + address);
        }
        return zk;
    }

    public static void main(String[] args) throws Exception {
        OldClient seen = new OldClient();
        ZooKeeper zk = open(args[0], seen);
        ZooKeeper other = open(args[0], new OldClient());
        zk.create("/old", "old".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        base = zk.exists("/old", false).getCzxid();
        for (CreateMode mode : CreateMode.values()) {
            show("create " + mode, () -> zk.create("/old/" + mode, null, Ids.OPEN_ACL_UNSAFE, mode));
            show("create again " + mode, () -> zk.create("/old/" + mode, null, Ids.OPEN_ACL_UNSAFE, mode));
        }
        show("children", () -> sorted(zk.getChildren("/old", false)));
        show("children and stat", () -> {
            Stat stat = new Stat();
            return sorted(zk.getChildren("/old", false, stat)) + stat(stat);
        });
        show("get", () -> zk.getData("/old", false, null));
        show("set", () -> zk.setData("/old", "new".getBytes(), 0));
        show("set late", () -> zk.setData("/old", "late".getBytes(), 0));
        show("exists", () -> zk.exists("/old", false));
        show("not", () -> zk.exists("/none", false));
        show("acl", () -> zk.getACL("/old", new Stat()));
        show("set acl", () -> zk.setACL("/old", Arrays.asList(new ACL(31, new Id("world", "anyone")), new ACL(1, new Id("ip", "127.0.0.1"))), 0));
        show("acl", () -> zk.getACL("/old", new Stat()));
        show("invalid acl", () -> zk.setACL("/old", Arrays.asList(new ACL(31, new Id("nope", "x"))), -1));
        other.addAuthInfo("digest", "bob:pw".getBytes());
        show("creator", () -> other.create("/old/bob", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        show("not bob", () -> zk.getData("/old/bob", false, null));
        show("multi", () -> zk.multi(Arrays.asList(Op.create("/old/m", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), Op.check("/old/m", 0),
            Op.setData("/old/m", "m".getBytes(), 0), Op.delete("/old/m", 1))));
        for (int at = 0; at < 3; at++) {
            List<Op> ops = new ArrayList<>(Arrays.asList(Op.create("/old/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), Op.check("/old", 1)));
            ops.add(at, Op.delete("/none", -1));
            show("failed multi at " + at, () -> zk.multi(ops));
        }
        show("watch data", () -> zk.getData("/old", true, null));
        show("watch children", () -> sorted(zk.getChildren("/old", true)));
        show("watch absent", () -> zk.exists("/old/coming", true));
        other.setData("/old", null, -1);
        other.create("/old/coming", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        CountDownLatch done = new CountDownLatch(1);
        zk.sync("/old", (rc, path, context) -> done.countDown(), null);
        show("sync", () -> done.await(30, TimeUnit.SECONDS));
        CountDownLatch settled = new CountDownLatch(1);
        zk.exists("/", false, (rc, path, context, stat) -> settled.countDown(), null);
        settled.await(30, TimeUnit.SECONDS);
        System.out.println(seen.events);
        OldClient thief = new OldClient();
        ZooKeeper wrong = new ZooKeeper(args[0], 10000, thief, zk.getSessionId(), new byte[16]);
        show("wrong password", () -> thief.expired.await(30, TimeUnit.SECONDS));
        wrong.close();
        other.close();
        show("ephemerals go with their session", () -> {
            ZooKeeper last = open(args[0], new OldClient());
            last.create("/old/gone", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            last.close();
            ZooKeeper viewer = open(args[0], new OldClient());
            boolean there = viewer.exists("/old/gone", false) != null;
            viewer.close();
            return there;
        });
        System.out.println("end");
        System.exit(0);
    }
}
