import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** Sessions that expire, move, are claimed wrongly or asked for too long. Expects tickTime=500. */
final class Sessions {
    private Sessions() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client a = t.open("a");
        t.section(a.zk, "sessions");
        timeouts(t);
        expiry(t, a);
        move(t, a);
        wrong(t, a);
        a.zk.close();
    }

    private static void timeouts(Transcript t) throws Exception {
        for (int asked : new int[] {600, 1000, 3000, 10000, 3_600_000}) {
            Transcript.Client c = t.open("c", t.address, asked);
            t.say("asked " + asked + " got " + c.zk.getSessionTimeout() + " password of " + c.zk.getSessionPasswd().length);
            c.zk.close();
        }
    }

    private static void expiry(Transcript t, Transcript.Client a) throws Exception {
        try (TcpProxy proxy = new TcpProxy(t.address)) {
            Transcript.Client e = t.open("e", proxy.address(), 2000);
            e.zk.create("/sessions/e", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            e.zk.create("/sessions/kept", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            a.zk.exists("/sessions/e", true);
            a.zk.getChildren("/sessions", true);
            proxy.cut();
            t.until("ephemeral gone", () -> a.zk.exists("/sessions/e", false) == null);
            t.events(a, "events");
            proxy.heal();
            t.say("told it expired: " + e.expired.await(Transcript.LIMIT_S, TimeUnit.SECONDS) + " " + e.zk.getState());
            t.show("then", () -> e.zk.exists("/sessions", false));
            t.show("parent", () -> a.zk.exists("/sessions", false));
        }
    }

    private static Transcript.Client claim(String name, String address, long id, byte[] password) throws Exception {
        Transcript.Client c = new Transcript.Client(name);
        c.zk = new ZooKeeper(address, Transcript.TIMEOUT_MS, c, id, password);
        return c;
    }

    private static void move(Transcript t, Transcript.Client a) throws Exception {
        try (TcpProxy proxy = new TcpProxy(t.address)) {
            Transcript.Client first = t.open("first", proxy.address(), Transcript.TIMEOUT_MS);
            first.zk.create("/sessions/moving", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            first.zk.exists("/sessions/w", true);
            proxy.cut();
            Transcript.Client second = claim("second", t.address, first.zk.getSessionId(), first.zk.getSessionPasswd());
            t.say("moved: " + second.connected.await(Transcript.LIMIT_S, TimeUnit.SECONDS) + " same id: " + (second.zk.getSessionId() == first.zk.getSessionId()));
            t.show("ephemeral", () -> a.zk.exists("/sessions/moving", false));
            t.show("its ephemerals", () -> second.zk.getEphemerals());
            t.show("another", () -> second.zk.create("/sessions/moved", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
            second.zk.close();
            t.show("closed", () -> a.zk.exists("/sessions/moving", false));
            proxy.heal();
            t.say("first is told: " + first.expired.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        }
        try (TcpProxy proxy = new TcpProxy(t.address)) {
            Transcript.Client first = t.open("stolen", proxy.address(), Transcript.TIMEOUT_MS);
            Transcript.Client thief = claim("thief", t.address, first.zk.getSessionId(), first.zk.getSessionPasswd());
            t.say("taken while connected: " + thief.connected.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
            thief.zk.close();
            t.say("first is told: " + first.expired.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
        }
    }

    private static void wrong(Transcript t, Transcript.Client a) throws Exception {
        Transcript.Client good = t.open("good");
        byte[] password = good.zk.getSessionPasswd().clone();
        password[3] ^= 1;
        long[] ids = {good.zk.getSessionId(), good.zk.getSessionId(), 0x0123456789L, -1};
        byte[][] passwords = {password, new byte[16], good.zk.getSessionPasswd(), good.zk.getSessionPasswd()};
        String[] names = {"wrong password", "zero password", "unknown session", "session -1"};
        for (int i = 0; i < ids.length; i++) {
            Transcript.Client c = claim("c", t.address, ids[i], passwords[i]);
            t.say(names[i] + ": expired " + c.expired.await(Transcript.LIMIT_S, TimeUnit.SECONDS));
            c.zk.close();
        }
        t.until("the true owner is connected", () -> good.zk.getState() == ZooKeeper.States.CONNECTED && good.zk.exists("/sessions", false) != null);
        t.show("password of a closed session", () -> {
            long id = good.zk.getSessionId();
            byte[] old = good.zk.getSessionPasswd();
            good.zk.close();
            Transcript.Client c = claim("c", t.address, id, old);
            boolean expired = c.expired.await(Transcript.LIMIT_S, TimeUnit.SECONDS);
            c.zk.close();
            return expired;
        });
    }
}
