import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;

/** Logs in by the JAAS file it was started with. Arguments: address, a name for its nodes. */
public class SaslLogin {
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
        String node = "/" + args[1];
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
        show("create", () -> zk.create(node, "mine".getBytes(), ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        show("acl", () -> zk.getACL(node, null));
        show("read", () -> new String(zk.getData(node, false, null)));
        show("set acl", () -> {
            zk.setACL(node, List.of(new ACL(31, new Id("sasl", "alice"))), 0);
            return "done";
        });
        show("read what is alice's", () -> new String(zk.getData(node, false, null)));
        show("bad acl", () -> zk.create(node + "-bad", null, List.of(new ACL(31, new Id("sasl", "a@b@c"))), CreateMode.PERSISTENT));
        show("who", () -> {
            StringBuilder who = new StringBuilder();
            zk.whoAmI().stream().map(ClientInfo::toString).map(String::strip).sorted().forEach(one -> who.append(one).append(";"));
            return who;
        });
        zk.close(5000);
        System.exit(0);
    }
}
