import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ClientInfo;

/** Logs in as the JAAS file it was started with says, and shows who it is then. Arguments: address, a node. */
public class KerberosLogin {
    interface Call {
        Object run() throws Exception;
    }

    static void show(String label, Call call) {
        try {
            System.out.println(label + " -> " + call.run());
        } catch (KeeperException e) {
            System.out.println(label + " -> " + e.code());
        } catch (Exception e) {
            System.out.println(label + " -> " + e.getClass().getSimpleName());
        }
    }

    public static void main(String[] args) throws Exception {
        CountDownLatch settled = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(args[0], 20000, event -> {
            switch (event.getState()) {
            case SaslAuthenticated:
            case AuthFailed:
                System.out.println("state " + event.getState());
                settled.countDown();
                break;
            default:
                break;
            }
        });
        if (!settled.await(20, TimeUnit.SECONDS)) {
            System.out.println("nothing came of it");
        }
        show("create", () -> zk.create(args[1], "mine".getBytes(), ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        show("acl", () -> zk.getACL(args[1], null));
        show("read", () -> new String(zk.getData(args[1], false, null)));
        show("who", () -> {
            StringBuilder who = new StringBuilder();
            zk.whoAmI().stream().map(ClientInfo::toString).map(String::strip).sorted().forEach(one -> who.append(one).append(";"));
            return who;
        });
        zk.close(5000);
        System.exit(0);
    }
}
