import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;

/** Barriers, simple and double. */
final class Barriers {
    static void run(Transcript t) throws Exception {
        CuratorFramework a = t.client();
        CuratorFramework b = t.client();
        DistributedBarrier mine = new DistributedBarrier(a, "/barriers/simple");
        DistributedBarrier other = new DistributedBarrier(b, "/barriers/simple");
        t.show("no barrier", () -> other.waitOnBarrier(200, TimeUnit.MILLISECONDS));
        mine.setBarrier();
        t.show("in vain", () -> other.waitOnBarrier(200, TimeUnit.MILLISECONDS));
        CountDownLatch passed = new CountDownLatch(1);
        Thread waiter = new Thread(() -> {
            try {
                other.waitOnBarrier();
                passed.countDown();
            } catch (Exception e) {
                t.say("waiting ! " + e);
            }
        });
        waiter.setDaemon(true);
        waiter.start();
        Thread.sleep(100);
        mine.removeBarrier();
        t.say("passed " + passed.await(Transcript.LIMIT_S, TimeUnit.SECONDS));

        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        CountDownLatch left = new CountDownLatch(3);
        for (int i = 0; i < 3; i++) {
            CuratorFramework client = i == 0 ? a : b;
            Thread thread = new Thread(() -> {
                try {
                    DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, "/barriers/double", 3);
                    boolean entered = barrier.enter(Transcript.LIMIT_S, TimeUnit.SECONDS);
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    Thread.sleep(300);
                    boolean gone = barrier.leave(Transcript.LIMIT_S, TimeUnit.SECONDS);
                    if (!entered || !gone) {
                        t.say("double: entered " + entered + ", left " + gone);
                    }
                } catch (Exception e) {
                    t.say("double ! " + e);
                }
                left.countDown();
            });
            thread.setDaemon(true);
            thread.start();
        }
        t.say("double: all left " + left.await(60, TimeUnit.SECONDS) + ", at most inside " + most.get());
        DistributedDoubleBarrier lonely = new DistributedDoubleBarrier(a, "/barriers/lonely", 2);
        t.show("double: alone in vain", () -> lonely.enter(200, TimeUnit.MILLISECONDS));
        t.tree(a, "/barriers/double");
    }
}
