import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.CuratorWatcher;
import org.apache.curator.framework.api.transaction.CuratorOp;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.Stat;

/** The fluent interface itself: modes, parents, guarantees, background calls, transactions, watches. */
final class Framework {
    static void run(Transcript t) throws Exception {
        CuratorFramework c = t.client();
        creating(t, c);
        background(t, c);
        transactions(t, c);
        watches(t, c);
        access(t);
        ensemble(t, c);
        t.tree(c, "/framework");
    }

    private static void creating(Transcript t, CuratorFramework c) throws Exception {
        t.show("create with parents", () -> c.create().creatingParentsIfNeeded().forPath("/framework/a/b", "x".getBytes()));
        t.show("create again", () -> c.create().forPath("/framework/a/b"));
        t.show("create or set", () -> c.create().orSetData().forPath("/framework/a/b", "y".getBytes()));
        t.show("container parents", () -> c.create().creatingParentContainersIfNeeded().forPath("/framework/c/d"));
        for (CreateMode mode : CreateMode.values()) {
            Stat stat = new Stat();
            t.show("mode " + mode, () -> {
                String path = mode.isTTL()
                        ? c.create().withTtl(3600000).storingStatIn(stat).withMode(mode).forPath("/framework/m" + mode.toFlag())
                        : c.create().storingStatIn(stat).withMode(mode).forPath("/framework/m" + mode.toFlag());
                return path + " " + Transcript.stat(stat);
            });
        }
        t.show("protected", () -> c.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/framework/p-"));
        t.show("idempotent", () -> c.create().idempotent().forPath("/framework/i", "1".getBytes()));
        t.show("idempotent again", () -> c.create().idempotent().forPath("/framework/i", "1".getBytes()));
        t.show("idempotent with other data", () -> c.create().idempotent().forPath("/framework/i", "2".getBytes()));
        t.show("idempotent set", () -> c.setData().idempotent().withVersion(0).forPath("/framework/i", "3".getBytes()));
        t.show("idempotent set again", () -> c.setData().idempotent().withVersion(0).forPath("/framework/i", "3".getBytes()));
        t.show("compressed", () -> {
            c.create().compressed().forPath("/framework/z", new byte[2000]);
            return c.getData().decompressed().forPath("/framework/z").length;
        });
        t.show("delete with children", () -> c.delete().guaranteed().deletingChildrenIfNeeded().forPath("/framework/a"));
        t.show("delete with a wrong version", () -> c.delete().withVersion(9).forPath("/framework/i"));
        t.show("delete nothing quietly", () -> c.delete().quietly().forPath("/framework/none"));
        t.show("delete nothing", () -> c.delete().forPath("/framework/none"));
        CuratorFramework inside = c.usingNamespace("framework/inside");
        t.show("namespace", () -> inside.create().forPath("/n") + " " + inside.getChildren().forPath("/"));
    }

    private static void background(Transcript t, CuratorFramework c) throws Exception {
        List<String> answers = Collections.synchronizedList(new ArrayList<>());
        CompletableFuture<Void> last = new CompletableFuture<>();
        for (int i = 0; i < 20; i++) {
            c.create().inBackground((client, e) -> answers.add(e.getType() + " " + e.getPath() + " " + e.getResultCode()))
                    .forPath("/framework/bg" + i % 15);
        }
        c.sync().inBackground((client, e) -> {
            answers.add(e.getType() + " " + e.getPath() + " " + e.getResultCode());
            last.complete(null);
        }).forPath("/framework");
        last.get(Transcript.LIMIT_S, TimeUnit.SECONDS);
        t.say("background: " + answers);
    }

    private static void transactions(Transcript t, CuratorFramework c) throws Exception {
        t.show("transaction", () -> results(c.transaction().forOperations(
                c.transactionOp().create().forPath("/framework/t", "1".getBytes()),
                c.transactionOp().create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/framework/t-"),
                c.transactionOp().create().withMode(CreateMode.CONTAINER).forPath("/framework/tc"),
                c.transactionOp().create().withTtl(3600000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/framework/tt"),
                c.transactionOp().setData().withVersion(0).forPath("/framework/t", "2".getBytes()),
                c.transactionOp().check().withVersion(1).forPath("/framework/t"),
                c.transactionOp().delete().withVersion(1).forPath("/framework/t"))));
        CuratorOp bad = c.transactionOp().check().withVersion(7).forPath("/framework/i");
        CuratorOp good = c.transactionOp().create().forPath("/framework/never");
        try {
            c.transaction().forOperations(Arrays.asList(good, bad, good));
            t.say("a transaction that must fail did not");
        } catch (KeeperException e) {
            List<String> parts = new ArrayList<>();
            e.getResults().forEach(result -> parts.add(result instanceof OpResult.ErrorResult
                    ? "error " + ((OpResult.ErrorResult) result).getErr() : "type " + result.getType()));
            t.say("failed transaction ! " + e.code() + " " + parts);
        }
    }

    private static String results(List<CuratorTransactionResult> list) {
        List<String> parts = new ArrayList<>();
        for (CuratorTransactionResult r : list) {
            parts.add(r.getType() + ":" + r.getForPath() + ":" + r.getResultPath() + ":"
                    + (r.getResultStat() == null ? "-" : Transcript.stat(r.getResultStat())));
        }
        return parts.toString();
    }

    private static void watches(Transcript t, CuratorFramework c) throws Exception {
        Transcript.Events events = t.new Events();
        CuratorWatcher watcher = e -> events.add(e.getType() + " " + e.getPath());
        t.show("watched data", () -> c.getData().usingWatcher(watcher).forPath("/framework/i"));
        t.show("watched children", () -> c.getChildren().usingWatcher(watcher).forPath("/framework/c"));
        t.show("watched absence", () -> c.checkExists().usingWatcher(watcher).forPath("/framework/w"));
        c.setData().forPath("/framework/i", "w".getBytes());
        c.create().forPath("/framework/c/e");
        c.create().forPath("/framework/w");
        events.expect("one-shot", 3);
        t.show("add recursive", () -> c.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).usingWatcher(watcher).forPath("/framework/w"));
        c.create().forPath("/framework/w/x");
        c.setData().forPath("/framework/w/x", "1".getBytes());
        c.create().forPath("/framework/w/x/y");
        c.delete().deletingChildrenIfNeeded().forPath("/framework/w/x");
        events.expect("recursive", 5);
        t.show("remove", () -> c.watchers().remove(watcher).forPath("/framework/w"));
        events.expect("removed", 1);
        c.setData().forPath("/framework/w", "1".getBytes());
        events.expectNoMore("afterwards");
        t.show("remove all of nothing", () -> c.watchers().removeAll().forPath("/framework/none"));
    }

    private static void access(Transcript t) throws Exception {
        CuratorFramework owner = t.start(CuratorFrameworkFactory.builder().authorization("digest", "me:pw".getBytes()));
        CuratorFramework other = t.client();
        t.show("closed node", () -> owner.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/framework/closed", "s".getBytes()));
        t.show("its list", () -> owner.getACL().forPath("/framework/closed"));
        t.show("another reads", () -> other.getData().forPath("/framework/closed"));
        t.show("the owner reads", () -> owner.getData().forPath("/framework/closed"));
        t.show("opened", () -> owner.setACL().withACL(ZooDefs.Ids.READ_ACL_UNSAFE).forPath("/framework/closed"));
        t.show("another reads", () -> other.getData().forPath("/framework/closed"));
        t.show("another writes", () -> other.setData().forPath("/framework/closed", new byte[0]));
    }

    private static void ensemble(Transcript t, CuratorFramework c) throws Exception {
        t.show("configuration", () -> c.getConfig().forEnsemble());
        t.show("tracked members", () -> c.getCurrentConfig().getAllMembers());
        t.show("tracked version", () -> c.getCurrentConfig().getVersion());
        t.show("reconfigure", () -> c.reconfig().joining("server.2=localhost:1:2;3").fromConfig(-1).forEnsemble());
    }
}
