import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Locker;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.shared.SharedCount;

/** Locks and semaphores, held by two clients in turn. */
final class Locks {
    private interface Maker {
        InterProcessLock make(CuratorFramework client, String path);
    }

    static void run(Transcript t) throws Exception {
        CuratorFramework a = t.client();
        CuratorFramework b = t.client();
        turns(t, a, b, "mutex", InterProcessMutex::new);
        turns(t, a, b, "semaphore-mutex", InterProcessSemaphoreMutex::new);
        turns(t, a, b, "multi", (client, path) -> new InterProcessMultiLock(client, Arrays.asList(path + "/1", path + "/2")));
        contended(t, a, b);
        revoked(t, a, b);
        readWrite(t, a, b);
        semaphore(t, a, b);
    }

    private static boolean soon(InterProcessLock lock) throws Exception {
        return lock.acquire(Transcript.LIMIT_S, TimeUnit.SECONDS);
    }

    private static void turns(Transcript t, CuratorFramework a, CuratorFramework b, String name, Maker maker) throws Exception {
        String path = "/locks/" + name;
        InterProcessLock first = maker.make(a, path);
        InterProcessLock second = maker.make(b, path);
        t.show(name + ": first acquires", () -> soon(first));
        t.show(name + ": second waits in vain", () -> second.acquire(200, TimeUnit.MILLISECONDS));
        t.tree(a, path);
        first.release();
        t.show(name + ": second acquires", () -> soon(second));
        t.show(name + ": held", () -> first.isAcquiredInThisProcess() + " " + second.isAcquiredInThisProcess());
        try (Locker ignored = releaseLater(second)) {
            t.say(name + ": inside");
        }
        t.show(name + ": release once more", () -> {
            second.release();
            return null;
        });
        t.tree(a, path);
    }

    private static Locker releaseLater(InterProcessLock lock) throws Exception {
        lock.release();
        return new Locker(lock, Transcript.LIMIT_S, TimeUnit.SECONDS);
    }

    /** Four threads add to a number they do not otherwise protect. */
    private static void contended(Transcript t, CuratorFramework a, CuratorFramework b) throws Exception {
        a.create().creatingParentsIfNeeded().forPath("/locks/number", "0".getBytes());
        CountDownLatch done = new CountDownLatch(4);
        for (int i = 0; i < 4; i++) {
            CuratorFramework client = i % 2 == 0 ? a : b;
            Thread thread = new Thread(() -> {
                InterProcessMutex lock = new InterProcessMutex(client, "/locks/contended");
                try {
                    for (int round = 0; round < 25; round++) {
                        lock.acquire();
                        int value = Integer.parseInt(new String(client.getData().forPath("/locks/number")));
                        client.setData().forPath("/locks/number", Integer.toString(value + 1).getBytes());
                        lock.release();
                    }
                } catch (Exception e) {
                    t.say("contended ! " + e);
                }
                done.countDown();
            });
            thread.setDaemon(true);
            thread.start();
        }
        t.say("contended: all done " + done.await(60, TimeUnit.SECONDS));
        t.show("contended: the sum", () -> a.getData().forPath("/locks/number"));
        t.tree(a, "/locks/contended");
    }

    private static void revoked(Transcript t, CuratorFramework a, CuratorFramework b) throws Exception {
        InterProcessMutex lock = new InterProcessMutex(a, "/locks/revoked");
        CountDownLatch asked = new CountDownLatch(1);
        lock.makeRevocable(forLock -> asked.countDown());
        lock.acquire();
        String holder = lock.getParticipantNodes().iterator().next();
        Revoker.attemptRevoke(b, holder);
        t.say("revoked: the holder was asked " + asked.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        lock.release();
    }

    private static void readWrite(Transcript t, CuratorFramework a, CuratorFramework b) throws Exception {
        InterProcessReadWriteLock first = new InterProcessReadWriteLock(a, "/locks/rw");
        InterProcessReadWriteLock second = new InterProcessReadWriteLock(b, "/locks/rw");
        t.show("rw: first reads", () -> soon(first.readLock()));
        t.show("rw: second reads", () -> soon(second.readLock()));
        t.show("rw: upgrade in vain", () -> second.writeLock().acquire(200, TimeUnit.MILLISECONDS));
        t.tree(a, "/locks/rw");
        first.readLock().release();
        second.readLock().release();
        t.show("rw: first writes", () -> soon(first.writeLock()));
        t.show("rw: and reads", () -> soon(first.readLock()));
        t.show("rw: second reads in vain", () -> second.readLock().acquire(200, TimeUnit.MILLISECONDS));
        first.writeLock().release();
        t.show("rw: second reads after the downgrade", () -> soon(second.readLock()));
        t.show("rw: participants", () -> first.readLock().getParticipantNodes().size());
        first.readLock().release();
        second.readLock().release();
        t.tree(a, "/locks/rw");
    }

    private static void semaphore(Transcript t, CuratorFramework a, CuratorFramework b) throws Exception {
        InterProcessSemaphoreV2 first = new InterProcessSemaphoreV2(a, "/locks/leases", 2);
        InterProcessSemaphoreV2 second = new InterProcessSemaphoreV2(b, "/locks/leases", 2);
        first.setNodeData("mine".getBytes());
        Lease one = first.acquire();
        Lease two = second.acquire(Transcript.LIMIT_S, TimeUnit.SECONDS);
        t.show("leases: data", () -> two.getData().length > 0 || one.getData().length > 0);
        t.show("leases: a third in vain", () -> second.acquire(200, TimeUnit.MILLISECONDS));
        t.show("leases: held", () -> first.getParticipantNodes().size());
        first.returnLease(one);
        Lease three = second.acquire(Transcript.LIMIT_S, TimeUnit.SECONDS);
        t.say("leases: a third after one came back " + (three != null));
        second.returnLease(two);
        second.returnLease(three);
        t.tree(a, "/locks/leases");
        SharedCount size = new SharedCount(a, "/locks/size", 1);
        size.start();
        InterProcessSemaphoreV2 sized = new InterProcessSemaphoreV2(a, "/locks/sized", size);
        Lease only = sized.acquire();
        t.show("sized: a second in vain", () -> sized.acquire(200, TimeUnit.MILLISECONDS));
        size.setCount(2);
        Lease next = sized.acquire(Transcript.LIMIT_S, TimeUnit.SECONDS);
        t.say("sized: a second after the count grew " + (next != null));
        sized.returnLease(only);
        sized.returnLease(next);
        size.close();
    }
}
