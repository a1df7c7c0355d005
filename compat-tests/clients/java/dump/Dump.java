import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/** Prints the whole tree: path, raw stat, access list, data. Arguments: address, super credentials. */
public final class Dump {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private Dump() {
    }

    public static void main(String[] args) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(args[0], 30000, (WatchedEvent event) -> connected.countDown());
        if (!connected.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("cannot connect to " + args[0]);
        }
        zk.addAuthInfo("digest", args[1].getBytes(StandardCharsets.UTF_8));
        walk(zk, "/");
        zk.close();
    }

    private static void walk(ZooKeeper zk, String path) throws Exception {
        Stat stat = new Stat();
        byte[] data = zk.getData(path, false, stat);
        StringBuilder line = new StringBuilder(path).append(' ');
        long[] numbers = {
            stat.getCzxid(), stat.getMzxid(), stat.getPzxid(), stat.getCtime(), stat.getMtime(), stat.getVersion(), stat.getCversion(),
            stat.getAversion(), stat.getEphemeralOwner(), stat.getDataLength(), stat.getNumChildren(),
        };
        for (long number : numbers) {
            line.append(Long.toHexString(number)).append(' ');
        }
        for (ACL acl : zk.getACL(path, null)) {
            line.append(acl.getPerms()).append(':').append(acl.getId().getScheme()).append(':').append(acl.getId().getId()).append(' ');
        }
        line.append(data == null ? "null" : data.length > 200 ? "hash " + java.util.Arrays.hashCode(data) : "'" + new String(data, StandardCharsets.UTF_8) + "'");
        OUT.println(line);
        List<String> children = zk.getChildren(path, false);
        Collections.sort(children);
        for (String child : children) {
            walk(zk, path.equals("/") ? "/" + child : path + "/" + child);
        }
    }
}
