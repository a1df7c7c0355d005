import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.cache.ChildData;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.NodeCache;
import org.apache.curator.framework.recipes.cache.PathChildrenCache;
import org.apache.curator.framework.recipes.cache.TreeCache;

/** Every cache on one tree; a second client changes it, one change at a time. */
@SuppressWarnings("deprecation")
final class Caches {
    private interface Step {
        void run() throws Exception;
    }

    private static Transcript.Events curator;
    private static Transcript.Events node;
    private static Transcript.Events children;
    private static Transcript.Events tree;

    static void run(Transcript t) throws Exception {
        CuratorFramework c = t.client();
        CuratorFramework w = t.client();
        w.create().creatingParentsIfNeeded().forPath("/caches/one/leaf", "l".getBytes());
        w.create().forPath("/caches/two", "2".getBytes());
        curator = t.new Events();
        node = t.new Events();
        children = t.new Events();
        tree = t.new Events();

        CuratorCache all = CuratorCache.build(c, "/caches");
        all.listenable().addListener(CuratorCacheListener.builder()
                .forAll((type, old, now) -> curator.add(type + " " + what(old) + " to " + what(now)))
                .forInitialized(() -> curator.add("initialized")).build());
        all.start();
        // The order among siblings is chance while the cache fills.
        curator.expectSorted("curator", 5);

        NodeCache one = new NodeCache(c, "/caches/two");
        one.getListenable().addListener(() -> node.add(what(one.getCurrentData())));
        one.start(true);

        PathChildrenCache below = new PathChildrenCache(c, "/caches", true);
        below.getListenable().addListener((client, e) -> children.add(e.getType() + " " + (e.getData() == null ? "-" : what(e.getData()))));
        below.start(PathChildrenCache.StartMode.POST_INITIALIZED_EVENT);
        children.expectSorted("children", 3);

        TreeCache deep = new TreeCache(c, "/caches");
        deep.getListenable().addListener((client, e) -> tree.add(e.getType() + " " + (e.getData() == null ? "-" : what(e.getData()))));
        deep.start();
        tree.expectSorted("tree", 5);

        step(t, "set two", 1, 1, 1, 1, () -> w.setData().forPath("/caches/two", "22".getBytes()));
        step(t, "create three", 1, 0, 1, 1, () -> w.create().forPath("/caches/three", "3".getBytes()));
        step(t, "create one/deep", 1, 0, 0, 1, () -> w.create().forPath("/caches/one/deep", "d".getBytes()));
        step(t, "set one/leaf", 1, 0, 0, 1, () -> w.setData().forPath("/caches/one/leaf", "ll".getBytes()));
        step(t, "delete two", 1, 1, 1, 1, () -> w.delete().forPath("/caches/two"));
        step(t, "create two", 1, 1, 1, 1, () -> w.create().forPath("/caches/two", "again".getBytes()));
        step(t, "delete one/deep", 1, 0, 0, 1, () -> w.delete().forPath("/caches/one/deep"));
        t.show("curator size", all::size);
        t.show("tree children", () -> deep.getCurrentChildren("/caches").keySet().stream().sorted().toList());
        t.show("children", () -> below.getCurrentData().stream().map(Caches::what).sorted().toList());
        w.delete().deletingChildrenIfNeeded().forPath("/caches/one");
        curator.expect("curator", 2);
        tree.expectSorted("tree", 2);
        children.expect("children", 1);
        curator.expectNoMore("curator");
        node.expectNoMore("node");
        children.expectNoMore("children");
        tree.expectNoMore("tree");
        CuratorCache bridge = CuratorCache.builder(c, "/caches/two").withOptions(CuratorCache.Options.SINGLE_NODE_CACHE).build();
        bridge.listenable().addListener(CuratorCacheListener.builder().forInitialized(() -> curator.add("single initialized")).build());
        bridge.start();
        curator.expect("single", 1);
        bridge.close();
        all.close();
        one.close();
        below.close();
        deep.close();
    }

    private static void step(Transcript t, String label, int forCurator, int forNode, int forChildren, int forTree, Step step)
            throws Exception {
        t.say(label);
        step.run();
        curator.expect("curator", forCurator);
        node.expect("node", forNode);
        children.expect("children", forChildren);
        tree.expect("tree", forTree);
    }

    static String what(ChildData data) {
        return data == null ? "nothing"
                : data.getPath() + "=" + Transcript.text(data.getData()) + " v" + data.getStat().getVersion();
    }
}
