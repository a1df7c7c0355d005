import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ClientInfo;

/**
 * Logs in as sections of the JAAS file it was started with say, and shows who it is then. Arguments: address, and for each
 * login a node and a section.
 */
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
        for (int n = 1; n < args.length; n += 2) {
            System.out.println(args[n + 1]);
            logIn(args[0], args[n], args[n + 1]);
        }
        System.exit(0);
    }

    static void logIn(String address, String node, String section) throws Exception {
        CountDownLatch settled = new CountDownLatch(1);
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, section);
        ZooKeeper zk = new ZooKeeper(address, 20000, event -> {
            switch (event.getState()) {
            case SaslAuthenticated:
            case AuthFailed:
                System.out.println("state " + event.getState());
                settled.countDown();
                break;
            default:
                break;
            }
        }, config);
        if (!settled.await(20, TimeUnit.SECONDS)) {
            System.out.println("nothing came of it");
        }
        show("create", () -> zk.create(node, "mine".getBytes(), ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        show("acl", () -> zk.getACL(node, null));
        show("read", () -> new String(zk.getData(node, false, null)));
        show("who", () -> {
            StringBuilder who = new StringBuilder();
            zk.whoAmI().stream().map(ClientInfo::toString).map(String::strip).sorted().forEach(one -> who.append(one).append(";"));
            return who;
        });
        zk.close(5000);
    }
}
