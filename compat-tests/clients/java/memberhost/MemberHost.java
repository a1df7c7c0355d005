import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.zookeeper.server.quorum.QuorumPeerConfig;
import org.apache.zookeeper.server.quorum.QuorumPeerMain;
import org.apache.zookeeper.util.ServiceUtils;

/**
 * Runs one member of an ensemble after the other in this process, so that a start costs no new Java.
 * Each line of standard input is answered by one line: {@code start FILE}, {@code state}, {@code stop}.
 */
public final class MemberHost {
    /** What a server may take to stop: a minute. */
    private static final long STOP_NANOS = 60_000_000_000L;
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static volatile int exit = -1;

    private final QuorumPeerMain main = new QuorumPeerMain();
    private final Thread thread;
    private volatile Throwable failure;

    private MemberHost(String file) {
        exit = -1;
        thread = new Thread(() -> run(file), "member");
        thread.start();
    }

    private void run(String file) {
        try {
            QuorumPeerConfig config = new QuorumPeerConfig();
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
        if (exit >= 0) {
            return "exit " + exit;
        }
        return thread.isAlive() ? "running" : "ended";
    }

    private String stop() throws InterruptedException {
        Thread closing = new Thread();
        for (long end = System.nanoTime() + STOP_NANOS; thread.isAlive() && System.nanoTime() < end; thread.join(20)) {
            if (!closing.isAlive()) {
                closing = new Thread(main::close, "close");
                closing.setDaemon(true);
                closing.start();
            }
        }
        return thread.isAlive() ? "does not stop" : "stopped";
    }

    public static void main(String[] args) throws Exception {
        ServiceUtils.setSystemExitProcedure(code -> exit = code);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        MemberHost host = null;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith("start ")) {
                host = new MemberHost(line.substring("start ".length()));
            }
            OUT.println(line.equals("stop") ? host.stop() : host.state());
        }
        Runtime.getRuntime().halt(0);
    }
}
