import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * One session that writes while the servers of its ensemble come and go, until the node that it waits for is made.
 * Arguments: servers, root of what it makes, the node it waits for, then one or more ids, scheme and name: it writes in
 * turn to nodes that each of them alone may write to.
 */
public final class Steady {
    private static final int TIMEOUT_MS = 30_000;
    private static final int PAUSE_MS = 10;

    private final AtomicInteger disconnections = new AtomicInteger();
    private final CountDownLatch connected = new CountDownLatch(1);
    private final CountDownLatch over = new CountDownLatch(1);
    private final ZooKeeper zk;

    interface Call<T> {
        T make() throws Exception;
    }

    private Steady(String servers) throws Exception {
        zk = new ZooKeeper(servers, TIMEOUT_MS, this::sessionEvent);
    }

    private void sessionEvent(WatchedEvent event) {
        if (event.getState() == KeeperState.SyncConnected) {
            connected.countDown();
        } else if (event.getState() == KeeperState.Disconnected) {
            disconnections.incrementAndGet();
        } else if (event.getState() == KeeperState.Expired) {
            System.err.println("the session expired");
        }
    }

    /** Again and again while connections are lost; any other error is one. */
    private <T> T persist(Call<T> call) throws Exception {
        while (true) {
            try {
                return call.make();
            } catch (KeeperException.ConnectionLossException e) {
                Thread.sleep(PAUSE_MS);
            }
        }
    }

    private String create(String path, List<ACL> acl, CreateMode mode) throws Exception {
        return persist(() -> {
            try {
                return zk.create(path, new byte[0], acl, mode);
            } catch (KeeperException.NodeExistsException e) {
                return path;
            }
        });
    }

    /** Everybody may read, and who has this id do everything. */
    private static List<ACL> ownedBy(String id) {
        String[] parts = id.split(":", 2);
        ACL everything = new ACL(Perms.ALL, new Id(parts[0], parts[1]));
        return Arrays.asList(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE), everything);
    }

    private long value(String path) throws Exception {
        byte[] data = persist(() -> zk.getData(path, false, null));
        return Long.parseLong(new String(data, StandardCharsets.UTF_8));
    }

    private void live(String root, String end, List<String> owners) throws Exception {
        if (!connected.await(TIMEOUT_MS, TimeUnit.MILLISECONDS)) {
            throw new IllegalStateException("not connected");
        }
        long session = zk.getSessionId();
        create(root, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        create(root + "/alive", Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        List<String> values = new ArrayList<>();
        for (String owner : owners) {
            values.add(create(root + "/value" + values.size(), ownedBy(owner), CreateMode.PERSISTENT));
        }
        Watcher watcher = event -> {
            if (event.getType() == EventType.NodeCreated) {
                over.countDown();
            }
        };
        persist(() -> zk.exists(end, watcher));
        System.out.println("ready");
        long written = 0;
        while (!over.await(PAUSE_MS, TimeUnit.MILLISECONDS)) {
            long next = written + 1;
            byte[] data = Long.toString(next).getBytes(StandardCharsets.UTF_8);
            String path = values.get((int) (next % values.size()));
            persist(() -> zk.setData(path, data, -1));
            written = next;
            long seen = value(path);
            if (seen != written) {
                throw new IllegalStateException("wrote " + written + " and read " + seen);
            }
        }
        Stat alive = new Stat();
        persist(() -> zk.getData(root + "/alive", false, alive));
        boolean same = zk.getSessionId() == session && alive.getEphemeralOwner() == session;
        System.out.println(written + " writes, " + disconnections + " disconnections, the session "
                + (same ? "is the same" : "is another"));
        zk.close();
    }

    public static void main(String[] args) throws Exception {
        new Steady(args[0]).live(args[1], args[2], List.of(args).subList(3, args.length));
        System.exit(0);
    }
}
