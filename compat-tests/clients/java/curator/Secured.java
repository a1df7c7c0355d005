import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.zookeeper.ZooDefs;

/** Who a client of Curator is, and a node that is its own. */
final class Secured {
    static void run(Transcript t) throws Exception {
        CuratorFramework c = t.client();
        t.show("who", () -> c.getZookeeperClient().getZooKeeper().whoAmI().stream()
                .map(one -> one.getAuthScheme() + "=" + one.getUser()).sorted().collect(Collectors.joining(" ")));
        t.show("create", () -> c.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/secured", "s".getBytes()));
        t.show("its list", () -> c.getACL().forPath("/secured"));
        t.show("read", () -> c.getData().forPath("/secured"));
    }
}
