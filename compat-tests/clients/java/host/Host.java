import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.zookeeper.server.ServerConfig;
import org.apache.zookeeper.server.ZooKeeperServerMain;
import org.apache.zookeeper.util.ServiceUtils;

/**
 * Runs one standalone server after the other in this process, so that a start costs no new Java.
 * Each line of standard input is answered by one line: {@code start FILE}, {@code state}, {@code stop}.
 */
public final class Host {
    /** What a server may take to stop: a minute. */
    private static final long STOP_NANOS = 60_000_000_000L;
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final ZooKeeperServerMain main = new ZooKeeperServerMain();
    private final Thread thread;
    private volatile Throwable failure;

    private Host(String file) {
        thread = new Thread(() -> run(file), "server");
        thread.start();
    }

    private void run(String file) {
        try {
            ServerConfig config = new ServerConfig();
            config.parse(file);
            main.runFromConfig(config);
        } catch (Throwable error) {
            failure = error;
        }
    }

    private String state() {
        if (failure != null) {
            return "failed " + String.valueOf(failure).replace('\n', ' ');
        }
        return thread.isAlive() ? "running" : "ended";
    }

    /**
     * Closes from a thread of its own: a server that fails while it is being closed leaves its sockets to nobody,
     * and {@code close} waits for them for ever.
     */
    private String stop() throws InterruptedException {
        Thread closing = new Thread();
        for (long end = System.nanoTime() + STOP_NANOS; thread.isAlive() && System.nanoTime() < end; thread.join(100)) {
            if (!closing.isAlive()) {
                closing = new Thread(main::close, "close");
                closing.setDaemon(true);
                closing.start();
            }
        }
        return thread.isAlive() ? "does not stop" : "stopped";
    }

    public static void main(String[] args) throws Exception {
        ServiceUtils.setSystemExitProcedure(ServiceUtils.LOG_ONLY);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Host host = null;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith("start ")) {
                host = new Host(line.substring("start ".length()));
            }
            OUT.println(line.equals("stop") ? host.stop() : host.state());
        }
        Runtime.getRuntime().halt(0);
    }
}
