import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * Fills a server with every kind of node a release knows, then leaves without closing its
 * sessions. Compiles against 3.4 and later; newer calls go through reflection.
 * Arguments: address, root of what it makes.
 */
public final class Workload {
    private static final int STEPS = 260;

    private Workload() {
    }

    private static ZooKeeper open(String address) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(address, 120000, new Watcher() {
            @Override
            public void process(WatchedEvent event) {
                if (event.getState() == Event.KeeperState.SyncConnected) {
                    connected.countDown();
                }
            }
        });
        if (!connected.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("cannot connect to " + address);
        }
        return zk;
    }

    public static void main(String[] args) throws Exception {
        ZooKeeper zk = open(args[0]);
        String root = args[1];
        create(zk, root, "root");
        plain(zk, root);
        newer(zk, root);
        quotas(zk, root);
        churn(zk, root);
        sessions(zk, args[0], root);
        System.out.println("ready");
        System.out.flush();
        // No session is closed: the next server has to find them open.
        Runtime.getRuntime().halt(0);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    private static String create(ZooKeeper zk, String path, String data) throws Exception {
        return zk.create(path, data == null ? null : bytes(data), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    private static void plain(ZooKeeper zk, String root) throws Exception {
        create(zk, root + "/null", null);
        create(zk, root + "/empty", "");
        create(zk, root + "/\u00e4\u4e2d\u6587", "\ud83d\ude00");
        zk.create(root + "/big", new byte[100000], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.addAuthInfo("digest", bytes("bob:pw"));
        zk.create(root + "/bob", bytes("b"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        zk.create(root + "/read", bytes("r"), Ids.READ_ACL_UNSAFE, CreateMode.PERSISTENT);
        List<ACL> several = Arrays.asList(new ACL(1, new Id("world", "anyone")), new ACL(31, new Id("ip", "127.0.0.1")), new ACL(3, new Id("digest", "x:y")));
        zk.create(root + "/several", null, several, CreateMode.PERSISTENT);
        zk.setACL(root + "/null", several, 0);
        zk.setACL(root + "/null", Collections.singletonList(new ACL(31, new Id("world", "anyone"))), 1);
        create(zk, root + "/seq", null);
        for (int i = 0; i < 5; i++) {
            zk.create(root + "/seq/n-", bytes("" + i), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL);
        }
        zk.delete(root + "/seq/n-0000000002", 0);
    }

    private static void newer(ZooKeeper zk, String root) throws Exception {
        if (!known("CONTAINER")) {
            return;
        }
        zk.create(root + "/container", null, Ids.OPEN_ACL_UNSAFE, CreateMode.valueOf("CONTAINER"));
        create(zk, root + "/container/kid", "k");
        zk.create(root + "/unused", null, Ids.OPEN_ACL_UNSAFE, CreateMode.valueOf("CONTAINER"));
        Method create = ZooKeeper.class.getMethod("create", String.class, byte[].class, List.class, CreateMode.class, Stat.class, long.class);
        for (String mode : new String[] {"PERSISTENT_WITH_TTL", "PERSISTENT_SEQUENTIAL_WITH_TTL"}) {
            create.invoke(zk, root + "/ttl-", bytes("t"), Ids.OPEN_ACL_UNSAFE, CreateMode.valueOf(mode), new Stat(), 3600000L);
        }
    }

    private static boolean known(String mode) {
        for (CreateMode each : CreateMode.values()) {
            if (each.name().equals(mode)) {
                return true;
            }
        }
        return false;
    }

    private static void quotas(ZooKeeper zk, String root) throws Exception {
        create(zk, root + "/limited", "12345");
        create(zk, root + "/limited/kid", "123");
        String quota = "/zookeeper/quota";
        for (String part : (root + "/limited").substring(1).split("/")) {
            quota += "/" + part;
            create(zk, quota, null);
        }
        create(zk, quota + "/zookeeper_limits", "count=3,bytes=10");
        create(zk, quota + "/zookeeper_stats", "count=0,bytes=0");
        create(zk, root + "/limited/more", "123456789");
        zk.setData(root + "/limited/kid", bytes("1"), -1);
    }

    /** Enough changes for several logs and snapshots, failed ones and transactions among them. */
    private static void churn(ZooKeeper zk, String root) throws Exception {
        create(zk, root + "/churn", null);
        for (int i = 0; i < STEPS; i++) {
            String path = root + "/churn/n" + i % 40;
            try {
                switch (i % 7) {
                    case 0:
                    case 1:
                        create(zk, path, "created at " + i);
                        break;
                    case 2:
                        zk.setData(path, bytes("set at " + i), -1);
                        break;
                    case 3:
                        zk.delete(path, -1);
                        break;
                    case 4:
                        List<Op> ops = new ArrayList<>();
                        ops.add(Op.create(root + "/churn/m" + i, bytes("m"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
                        ops.add(Op.setData(root + "/churn", bytes("multi " + i), -1));
                        ops.add(i % 3 == 0 ? Op.check(root, 99) : Op.check(root, 0));
                        zk.multi(ops);
                        break;
                    case 5:
                        zk.setACL(path, Ids.OPEN_ACL_UNSAFE, -1);
                        break;
                    default:
                        zk.create(root + "/churn/s", null, Ids.OPEN_ACL_UNSAFE, i % 2 == 0 ? CreateMode.EPHEMERAL_SEQUENTIAL : CreateMode.PERSISTENT_SEQUENTIAL);
                        break;
                }
            } catch (KeeperException e) {
                // Failed writes are part of the load: they take a place in the log too.
                System.err.println(path + ": " + e.code());
            }
        }
    }

    private static void sessions(ZooKeeper zk, String address, String root) throws Exception {
        create(zk, root + "/sessions", null);
        for (int i = 0; i < 4; i++) {
            ZooKeeper other = open(address);
            other.create(root + "/sessions/e" + i, bytes("e"), Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            other.create(root + "/sessions/s", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
            if (i == 1) {
                other.close();
            }
        }
        open(address);
        zk.create(root + "/sessions/main", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
    }
}
