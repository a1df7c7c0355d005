import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedIdQueue;
import org.apache.curator.framework.recipes.queue.DistributedPriorityQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.state.ConnectionState;

/** Every queue, filled first and then drained by a consumer. */
final class Queues {
    private static final class Words implements QueueSerializer<String> {
        @Override
        public byte[] serialize(String item) {
            return item.getBytes();
        }

        @Override
        public String deserialize(byte[] bytes) {
            return new String(bytes);
        }
    }

    private static final class Consumer implements QueueConsumer<String> {
        private final Transcript.Events events;
        private int failures;

        Consumer(Transcript.Events events, int failures) {
            this.events = events;
            this.failures = failures;
        }

        @Override
        public void consumeMessage(String message) throws Exception {
            if (failures-- > 0) {
                events.add("refused " + message);
                throw new Exception("asked to fail");
            }
            events.add(message);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
        }
    }

    static void run(Transcript t) throws Exception {
        CuratorFramework c = t.client();
        c.create().creatingParentsIfNeeded().forPath("/queues/simple");
        simple(t, c);
        Transcript.Events events = t.new Events();
        Words words = new Words();

        DistributedQueue<String> put = QueueBuilder.builder(c, null, words, "/queues/plain").buildQueue();
        put.start();
        for (int i = 0; i < 5; i++) {
            put.put("item" + i);
        }
        put.flushPuts(Transcript.LIMIT_S, TimeUnit.SECONDS);
        t.tree(c, "/queues/plain");
        DistributedQueue<String> take = QueueBuilder.builder(c, new Consumer(events, 0), words, "/queues/plain").buildQueue();
        take.start();
        events.expect("plain", 5);
        put.put("late");
        events.expect("plain", 1);
        take.close();
        put.close();

        DistributedQueue<String> safe = QueueBuilder.builder(c, new Consumer(events, 1), words, "/queues/safe")
                .lockPath("/queues/safe-locks").buildQueue();
        safe.start();
        safe.put("once more");
        events.expect("with a lock", 2);
        safe.close();

        DistributedIdQueue<String> ids = QueueBuilder.builder(c, null, words, "/queues/ids").buildIdQueue();
        ids.start();
        ids.put("kept", "a");
        ids.put("dropped", "b");
        ids.put("dropped too", "b");
        t.show("ids: removed", () -> ids.remove("b"));
        ids.close();
        DistributedIdQueue<String> drain = QueueBuilder.builder(c, new Consumer(events, 0), words, "/queues/ids").buildIdQueue();
        drain.start();
        events.expect("ids", 1);
        drain.close();

        DistributedPriorityQueue<String> urgent = QueueBuilder.builder(c, null, words, "/queues/priority").buildPriorityQueue(0);
        urgent.start();
        urgent.put("later", 20);
        urgent.put("first", -5);
        urgent.put("second", 1);
        urgent.flushPuts(Transcript.LIMIT_S, TimeUnit.SECONDS);
        urgent.close();
        DistributedPriorityQueue<String> inOrder =
                QueueBuilder.builder(c, new Consumer(events, 0), words, "/queues/priority").buildPriorityQueue(0);
        inOrder.start();
        events.expect("priority", 3);
        inOrder.close();

        DistributedDelayQueue<String> delayed = QueueBuilder.builder(c, new Consumer(events, 0), words, "/queues/delay").buildDelayQueue();
        delayed.start();
        long now = System.currentTimeMillis();
        delayed.put("in a second", now + 1000);
        delayed.put("in half a second", now + 500);
        events.expect("delay", 2);
        delayed.close();
        t.until("all drained", () -> c.checkExists().forPath("/queues/plain").getNumChildren() == 0);
    }

    private static void simple(Transcript t, CuratorFramework c) throws Exception {
        SimpleDistributedQueue queue = new SimpleDistributedQueue(c, "/queues/simple");
        t.show("simple: peek at nothing", queue::peek);
        t.show("simple: element of nothing", queue::element);
        t.show("simple: offer", () -> queue.offer("1".getBytes()));
        t.show("simple: offer", () -> queue.offer("2".getBytes()));
        t.show("simple: peek", queue::peek);
        t.show("simple: take", queue::take);
        t.show("simple: poll", () -> queue.poll(Transcript.LIMIT_S, TimeUnit.SECONDS));
        t.show("simple: poll nothing", () -> queue.poll(200, TimeUnit.MILLISECONDS));
        t.show("simple: remove nothing", queue::remove);
        t.tree(c, "/queues/simple");
    }
}
