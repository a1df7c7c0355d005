import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/**
 * Prints what happened in words that are equal on two servers that behave the same: zxids count
 * from the start of the section, sessions have names, times are only checked for sense.
 */
final class Transcript {
    interface Call {
        Object run() throws Exception;
    }

    /** A client and the events it saw. */
    static final class Client implements Watcher {
        final String name;
        final CountDownLatch connected = new CountDownLatch(1);
        final CountDownLatch expired = new CountDownLatch(1);
        final CountDownLatch authFailed = new CountDownLatch(1);
        private final List<WatchedEvent> events = Collections.synchronizedList(new ArrayList<>());
        ZooKeeper zk;

        Client(String name) {
            this.name = name;
        }

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != Event.EventType.None) {
                events.add(event);
            } else if (event.getState() == Event.KeeperState.SyncConnected) {
                connected.countDown();
            } else if (event.getState() == Event.KeeperState.Expired) {
                expired.countDown();
            } else if (event.getState() == Event.KeeperState.AuthFailed) {
                authFailed.countDown();
            }
        }
    }

    static final int TIMEOUT_MS = 10000;
    static final int LIMIT_S = 30;

    final String address;
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final Map<Long, String> sessions = new HashMap<>();
    private long base;

    Transcript(String address) {
        this.address = address;
    }

    /** Opens a session and gives it a name for the transcript. */
    Client open(String name) throws Exception {
        return open(name, address, TIMEOUT_MS);
    }

    Client open(String name, String where, int timeoutMs) throws Exception {
        Client client = new Client(name);
        client.zk = new ZooKeeper(where, timeoutMs, client);
        if (!client.connected.await(LIMIT_S, TimeUnit.SECONDS)) {
            throw new IllegalStateException(name + " cannot connect to " + where);
        }
        name(client);
        return client;
    }

    void name(Client client) {
        sessions.putIfAbsent(client.zk.getSessionId(), client.name);
    }

    /** Starts a section: prints its title and makes its root node, from which zxids count. */
    void section(ZooKeeper zk, String title) throws Exception {
        out.println();
        out.println("## " + title);
        String root = "/" + title;
        zk.create(root, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        base = zk.exists(root, false).getCzxid();
    }

    void say(String text) {
        out.println(text);
    }

    /** Prints the result of a call, or how it failed. Gives the result back, null on failure. */
    Object show(String label, Call call) {
        try {
            Object result = call.run();
            out.println(label + " -> " + text(result));
            return result;
        } catch (KeeperException e) {
            String results = e.getResults() == null ? "" : " " + text(e.getResults());
            out.println(label + " ! " + e.code() + " " + e.getPath() + results);
        } catch (Exception e) {
            out.println(label + " ! " + e.getClass().getSimpleName() + ": " + e.getMessage());
        }
        return null;
    }

    /** Prints the events the client has seen since last asked. Everything sent before now counts. */
    void events(Client client, String label) throws Exception {
        settle(client);
        List<String> seen = take(client);
        out.println("  " + label + ": " + (seen.isEmpty() ? "-" : String.join(", ", seen)));
    }

    /** Like events, sorted, for events whose order the client's hash maps decide. */
    void sortedEvents(Client client, String label) throws Exception {
        settle(client);
        List<String> seen = take(client);
        Collections.sort(seen);
        out.println("  " + label + ": " + (seen.isEmpty() ? "-" : String.join(", ", seen)));
    }

    private List<String> take(Client client) {
        List<String> seen = new ArrayList<>();
        synchronized (client.events) {
            for (WatchedEvent event : client.events) {
                seen.add(event.getType() + "(" + event.getPath() + ")@" + zxid(event.getZxid()));
            }
            client.events.clear();
        }
        return seen;
    }

    /** A round trip: its callback runs on the event thread after every earlier event. */
    void settle(Client client) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        client.zk.exists("/zookeeper", false, (rc, path, context, stat) -> done.countDown(), null);
        if (!done.await(LIMIT_S, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no answer for " + client.name);
        }
    }

    /** Waits until a condition holds. */
    void until(String what, Call condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
        while (!holds(condition)) {
            if (System.nanoTime() > deadline) {
                out.println("NEVER: " + what);
                return;
            }
            Thread.sleep(20);
        }
        out.println("at last: " + what);
    }

    private static boolean holds(Call condition) throws Exception {
        try {
            return Boolean.TRUE.equals(condition.run());
        } catch (KeeperException.ConnectionLossException e) {
            return false; // The client is on its way back.
        }
    }

    String zxid(long zxid) {
        if (zxid <= 0) {
            return Long.toString(zxid);
        }
        return zxid > base ? "+" + (zxid - base) : zxid == base ? "base" : "old";
    }

    String owner(long id) {
        return id == 0 ? "0" : sessions.getOrDefault(id, "unknown");
    }

    String stat(Stat s) {
        long now = System.currentTimeMillis();
        boolean sane = s.getMtime() >= s.getCtime() && (s.getCtime() == 0 || s.getCtime() > now - 600_000) && s.getMtime() <= now + 60_000;
        return "{c=" + zxid(s.getCzxid()) + " m=" + zxid(s.getMzxid()) + " p=" + zxid(s.getPzxid())
            + " v=" + s.getVersion() + " cv=" + s.getCversion() + " av=" + s.getAversion()
            + " owner=" + owner(s.getEphemeralOwner()) + " len=" + s.getDataLength()
            + " kids=" + s.getNumChildren() + (sane ? "" : " TIMES " + s.getCtime() + " " + s.getMtime()) + "}";
    }

    String text(Object value) {
        if (value == null) {
            return "null";
        }
        if (value instanceof Stat) {
            return stat((Stat) value);
        }
        if (value instanceof byte[]) {
            byte[] bytes = (byte[]) value;
            String shown = bytes.length > 120 ? bytes.length + " bytes" : new String(bytes, StandardCharsets.UTF_8);
            return "\"" + shown.replace("\n", "\\n") + "\"";
        }
        if (value instanceof ACL) {
            ACL acl = (ACL) value;
            return acl.getPerms() + ":" + acl.getId().getScheme() + ":" + acl.getId().getId();
        }
        if (value instanceof OpResult) {
            return result((OpResult) value);
        }
        if (value instanceof List) {
            List<String> parts = new ArrayList<>();
            for (Object part : (List<?>) value) {
                parts.add(text(part));
            }
            return "[" + String.join(", ", parts) + "]";
        }
        return value.toString();
    }

    private String result(OpResult r) {
        if (r instanceof OpResult.ErrorResult) {
            return "error " + ((OpResult.ErrorResult) r).getErr();
        }
        if (r instanceof OpResult.CreateResult) {
            OpResult.CreateResult c = (OpResult.CreateResult) r;
            return "create " + c.getPath() + (c.getStat() == null ? "" : " " + stat(c.getStat()));
        }
        if (r instanceof OpResult.SetDataResult) {
            return "set " + stat(((OpResult.SetDataResult) r).getStat());
        }
        if (r instanceof OpResult.GetDataResult) {
            OpResult.GetDataResult g = (OpResult.GetDataResult) r;
            return "get " + text(g.getData()) + " " + stat(g.getStat());
        }
        if (r instanceof OpResult.GetChildrenResult) {
            return "children " + sorted(((OpResult.GetChildrenResult) r).getChildren());
        }
        return r.getClass().getSimpleName();
    }

    /** A list whose order the reference's hash sets decide. */
    static List<String> sorted(List<String> names) {
        List<String> copy = new ArrayList<>(names);
        Collections.sort(copy);
        return copy;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
