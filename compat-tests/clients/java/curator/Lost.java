import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;

/** A session is closed behind Curator's back: what recipes make of it. */
final class Lost {
    static void run(Transcript t) throws Exception {
        CuratorFramework c = t.client();
        CuratorFramework other = t.client();
        Transcript.Events states = t.new Events();
        c.getConnectionStateListenable().addListener((client, state) -> states.add(state.toString()));
        PersistentNode node = new PersistentNode(c, CreateMode.EPHEMERAL, false, "/lost/node", "x".getBytes());
        node.start();
        node.waitForInitialCreate(Transcript.LIMIT_S, TimeUnit.SECONDS);
        LeaderLatch latch = new LeaderLatch(c, "/lost/latch", "me");
        latch.start();
        t.show("leads", () -> latch.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        CuratorCache cache = CuratorCache.build(c, "/lost/data");
        Transcript.Events changes = t.new Events();
        cache.listenable().addListener(CuratorCacheListener.builder()
                .forAll((type, old, now) -> changes.add(type + " " + Caches.what(now))).build());
        other.create().forPath("/lost/data", "1".getBytes());
        cache.start();
        changes.expect("cache", 1);
        InterProcessMutex mutex = new InterProcessMutex(c, "/lost/mutex");
        mutex.acquire();

        long first = other.checkExists().forPath("/lost/node").getEphemeralOwner();
        end(c);
        states.expectSorted("states", 3);
        t.until("the node is back, in a new session", () -> {
            var stat = other.checkExists().forPath("/lost/node");
            return stat != null && stat.getEphemeralOwner() != first;
        });
        t.show("leads again", () -> latch.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        t.until("one member", () -> latch.getParticipants().size() == 1);
        other.setData().forPath("/lost/data", "2".getBytes());
        changes.expect("cache", 1);
        InterProcessMutex next = new InterProcessMutex(other, "/lost/mutex");
        t.show("the lock was lost", () -> next.acquire(Transcript.LIMIT_S, TimeUnit.SECONDS));
        next.release();
        latch.close();
        cache.close();
        node.close();
    }

    /** Opens the client's session a second time, which moves it, and closes it. */
    private static void end(CuratorFramework c) throws Exception {
        ZooKeeper zk = c.getZookeeperClient().getZooKeeper();
        java.util.concurrent.CountDownLatch connected = new java.util.concurrent.CountDownLatch(1);
        ZooKeeper twin = new ZooKeeper(c.getZookeeperClient().getCurrentConnectionString(), 8000, e -> {
            if (e.getState() == org.apache.zookeeper.Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        }, zk.getSessionId(), zk.getSessionPasswd());
        connected.await(Transcript.LIMIT_S, TimeUnit.SECONDS);
        twin.close();
    }
}
