import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.CachedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicValue;
import org.apache.curator.framework.recipes.atomic.PromotedToLock;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.recipes.shared.SharedValue;
import org.apache.curator.framework.recipes.shared.VersionedValue;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;

/** Shared counts and values, atomic numbers. */
final class Counters {
    static void run(Transcript t) throws Exception {
        CuratorFramework a = t.client();
        CuratorFramework b = t.client();
        Transcript.Events events = t.new Events();
        SharedCount first = new SharedCount(a, "/counters/shared", 7);
        SharedCount second = new SharedCount(b, "/counters/shared", 9);
        first.start();
        second.start();
        second.addListener(new SharedCountListener() {
            @Override
            public void countHasChanged(SharedCountReader count, int now) {
                events.add("now " + now);
            }

            @Override
            public void stateChanged(CuratorFramework client, ConnectionState state) {
            }
        });
        t.say("shared: " + first.getCount() + " " + second.getCount());
        first.setCount(8);
        events.expect("listener", 1);
        VersionedValue<Integer> stale = second.getVersionedValue();
        t.show("shared: try", () -> first.trySetCount(first.getVersionedValue(), 10));
        events.expect("listener", 1);
        t.show("shared: try with a stale version", () -> second.trySetCount(stale, 11));
        t.say("shared: " + second.getVersionedValue().getValue() + " version " + second.getVersionedValue().getVersion());
        first.close();
        second.close();

        SharedValue value = new SharedValue(a, "/counters/value", "seed".getBytes());
        value.start();
        value.setValue("new".getBytes());
        t.show("value", value::getValue);
        value.close();

        RetryNTimes retry = new RetryNTimes(3, 10);
        DistributedAtomicLong number = new DistributedAtomicLong(a, "/counters/long", retry);
        t.show("long: initialize", () -> number.initialize(5L));
        t.show("long: initialize again", () -> number.initialize(6L));
        t.say("long: increment " + result(number.increment()));
        t.say("long: add " + result(number.add(10L)));
        t.say("long: subtract " + result(number.subtract(3L)));
        t.say("long: compare and set " + result(number.compareAndSet(13L, 100L)));
        t.say("long: compare and set in vain " + result(number.compareAndSet(13L, 200L)));
        t.say("long: get " + result(number.get()));
        DistributedAtomicInteger small = new DistributedAtomicInteger(a, "/counters/int", retry);
        t.say("int: decrement " + result(small.decrement()));
        DistributedAtomicValue bytes = new DistributedAtomicValue(a, "/counters/bytes", retry);
        t.say("bytes: try set " + bytes.trySet("x".getBytes()).succeeded());
        CachedAtomicLong cached = new CachedAtomicLong(number, 10);
        t.say("cached: " + cached.next().postValue() + " " + cached.next().postValue());
        contended(t, a, b);
        t.tree(a, "/counters/long");
        t.tree(a, "/counters/shared");
    }

    private static String result(AtomicValue<? extends Number> v) {
        return v.succeeded() + " " + v.preValue() + " to " + v.postValue();
    }

    private static void contended(Transcript t, CuratorFramework a, CuratorFramework b) throws Exception {
        CountDownLatch done = new CountDownLatch(4);
        PromotedToLock promoted = PromotedToLock.builder().lockPath("/counters/lock").retryPolicy(new RetryNTimes(100, 5))
                .timeout(Transcript.LIMIT_S, TimeUnit.SECONDS).build();
        for (int i = 0; i < 4; i++) {
            DistributedAtomicLong sum = new DistributedAtomicLong(i % 2 == 0 ? a : b, "/counters/sum", new RetryNTimes(1, 1), promoted);
            Thread thread = new Thread(() -> {
                try {
                    for (int round = 0; round < 25; round++) {
                        if (!sum.increment().succeeded()) {
                            t.say("sum: an increment failed");
                        }
                    }
                } catch (Exception e) {
                    t.say("sum ! " + e);
                }
                done.countDown();
            });
            thread.setDaemon(true);
            thread.start();
        }
        t.say("sum: all done " + done.await(60, TimeUnit.SECONDS));
        t.say("sum: " + new DistributedAtomicLong(a, "/counters/sum", new RetryNTimes(1, 1)).get().postValue());
    }
}
