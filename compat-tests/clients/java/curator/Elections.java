import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.leader.Participant;

/** Leader latches and leader selectors. */
final class Elections {
    static void run(Transcript t) throws Exception {
        latches(t);
        selectors(t);
    }

    private static void latches(Transcript t) throws Exception {
        CuratorFramework watcher = t.client();
        Transcript.Events events = t.new Events();
        List<LeaderLatch> latches = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            LeaderLatch latch = new LeaderLatch(t.client(), "/elections/latch", "member" + i);
            latch.addListener(new LeaderLatchListener() {
                @Override
                public void isLeader() {
                    events.add(latch.getId() + " leads");
                }

                @Override
                public void notLeader() {
                    events.add(latch.getId() + " does not lead");
                }
            });
            latch.start();
            latches.add(latch);
            int members = i + 1;
            t.until("latch: " + members + " members", () -> latch.getParticipants().size() == members);
        }
        t.show("latch: first leads", () -> latches.get(0).await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        events.expect("events", 1);
        t.show("latch: leader", () -> latches.get(2).getLeader());
        for (Participant p : latches.get(1).getParticipants()) {
            t.say("  " + p.getId() + " " + p.isLeader());
        }
        t.tree(watcher, "/elections/latch");
        latches.get(0).close(LeaderLatch.CloseMode.NOTIFY_LEADER);
        t.show("latch: second leads", () -> latches.get(1).await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        events.expectSorted("events", 2);
        latches.get(1).close();
        t.show("latch: third leads", () -> latches.get(2).await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        events.expect("events", 1);
        latches.get(2).close();
        events.expectNoMore("events");
    }

    private static void selectors(Transcript t) throws Exception {
        CuratorFramework watcher = t.client();
        Transcript.Events events = t.new Events();
        Semaphore resign = new Semaphore(0);
        AtomicInteger inside = new AtomicInteger();
        List<LeaderSelector> selectors = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            String name = "candidate" + i;
            LeaderSelector selector = new LeaderSelector(t.client(), "/elections/selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework client) throws Exception {
                    if (inside.incrementAndGet() != 1) {
                        events.add("TWO LEADERS");
                    }
                    events.add(name + " takes");
                    try {
                        resign.acquire();
                    } finally {
                        inside.decrementAndGet();
                    }
                }
            });
            selector.setId(name);
            selector.autoRequeue();
            selector.start();
            selectors.add(selector);
            int members = i + 1;
            t.until("selector: " + members + " candidates", () -> selector.getParticipants().size() == members);
        }
        events.expect("first", 1);
        t.show("selector: leader", () -> selectors.get(1).getLeader());
        t.tree(watcher, "/elections/selector");
        for (int round = 0; round < 4; round++) {
            resign.release();
            events.expect("after a resignation", 1);
            t.until("selector: requeued", () -> selectors.get(0).getParticipants().size() == 2);
        }
        LeaderSelector leading = selectors.get(0).hasLeadership() ? selectors.get(0) : selectors.get(1);
        leading.interruptLeadership();
        events.expect("after an interruption", 1);
        selectors.forEach(LeaderSelector::close);
    }
}
