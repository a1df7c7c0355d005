import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/** Prints what happened in words that are equal on two servers that behave the same. */
final class Transcript {
    static final int LIMIT_S = 20;

    final String address;
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final List<CuratorFramework> open = new ArrayList<>();

    Transcript(String address) {
        this.address = address;
    }

    /** A started, connected client. */
    CuratorFramework client() throws Exception {
        return start(CuratorFrameworkFactory.builder());
    }

    CuratorFramework start(CuratorFrameworkFactory.Builder builder) throws Exception {
        CuratorFramework client = builder.connectString(address).sessionTimeoutMs(8000).connectionTimeoutMs(8000)
                .retryPolicy(new RetryOneTime(100)).build();
        client.start();
        open.add(client);
        if (!client.blockUntilConnected(LIMIT_S, TimeUnit.SECONDS)) {
            throw new IllegalStateException("cannot connect to " + address);
        }
        return client;
    }

    void closeAll() {
        open.forEach(CuratorFramework::close);
        open.clear();
    }

    void say(String text) {
        out.println(names(text));
    }

    void show(String label, Callable<?> call) {
        try {
            say(label + " -> " + text(call.call()));
        } catch (KeeperException e) {
            say(label + " ! " + e.code() + " " + e.getPath());
        } catch (Exception e) {
            say(label + " ! " + e.getClass().getSimpleName() + ": " + e.getMessage());
        }
    }

    static String text(Object value) {
        if (value instanceof byte[]) {
            return "'" + new String((byte[]) value, StandardCharsets.UTF_8) + "'";
        }
        if (value instanceof Stat) {
            return stat((Stat) value);
        }
        return String.valueOf(value);
    }

    static String stat(Stat s) {
        String kind = s.getEphemeralOwner() == 0 ? "" : " ephemeral";
        return "v=" + s.getVersion() + " cv=" + s.getCversion() + " av=" + s.getAversion() + " kids="
                + s.getNumChildren() + " len=" + s.getDataLength() + kind;
    }

    /** Replaces random identifiers. */
    static String names(String text) {
        return text.replaceAll("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>");
    }

    /** Every node below a path, with its stat. */
    void tree(CuratorFramework client, String root) throws Exception {
        List<String> lines = new ArrayList<>();
        walk(client, root, lines);
        lines.sort(null);
        lines.forEach(line -> out.println("  " + line));
    }

    private void walk(CuratorFramework client, String path, List<String> lines) throws Exception {
        Stat stat = client.checkExists().forPath(path);
        if (stat == null) {
            lines.add(names(path) + " is gone");
            return;
        }
        lines.add(names(path) + " " + stat(stat));
        for (String child : client.getChildren().forPath(path)) {
            walk(client, path + "/" + child, lines);
        }
    }

    /** Waits until something holds; says so if it never does. */
    void until(String what, Callable<Boolean> holds) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
        while (System.nanoTime() < deadline) {
            if (holds.call()) {
                say(what);
                return;
            }
            Thread.sleep(10);
        }
        say("NEVER: " + what);
    }

    /** Events in the order they came, printed as they are awaited. */
    final class Events {
        private final BlockingQueue<String> seen = new LinkedBlockingQueue<>();

        void add(String event) {
            seen.add(event);
        }

        void expect(String label, int count) throws InterruptedException {
            List<String> got = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                String event = seen.poll(LIMIT_S, TimeUnit.SECONDS);
                got.add(event == null ? "MISSING" : event);
                if (event == null) {
                    break;
                }
            }
            say("  " + label + ": " + String.join(", ", got));
        }

        /** For events whose order the recipe leaves to chance. */
        void expectSorted(String label, int count) throws InterruptedException {
            List<String> got = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                String event = seen.poll(LIMIT_S, TimeUnit.SECONDS);
                got.add(names(event == null ? "MISSING" : event));
            }
            got.sort(null);
            say("  " + label + ": " + String.join(", ", got));
        }

        void expectNoMore(String label) throws InterruptedException {
            String event = seen.poll(300, TimeUnit.MILLISECONDS);
            say("  " + label + ": " + (event == null ? "nothing more" : "AND " + event));
        }
    }
}
