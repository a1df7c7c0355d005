import java.io.IOException;
import java.net.URI;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.server.quorum.QuorumPeerMain;

/**
 * Does once what servers and clients of the tests do, so that the virtual machine can archive the classes: a server, a
 * client that logs in, one over TLS. What else is likely to be used is loaded.
 *
 * Arguments: the server's configuration, its plain port, its port for TLS, the directory of stores, their password.
 */
public final class Training {
    private static final List<String> OF_JAVA = List.of(
        "java.base/sun/security", "java.base/com/sun/crypto", "java.security.jgss", "java.security.sasl");

    private Training() {
    }

    public static void main(String[] args) throws Exception {
        Thread server = new Thread(() -> QuorumPeerMain.main(new String[] {args[0]}));
        server.setDaemon(true);
        server.start();
        use("localhost:" + args[1], new ZKClientConfig());
        ZKClientConfig secure = new ZKClientConfig();
        secure.setProperty("zookeeper.sasl.client", "false");
        secure.setProperty("zookeeper.client.secure", "true");
        secure.setProperty("zookeeper.clientCnxnSocket", "org.apache.zookeeper.ClientCnxnSocketNetty");
        secure.setProperty("zookeeper.ssl.keyStore.location", args[3] + "/client.p12");
        secure.setProperty("zookeeper.ssl.keyStore.password", args[4]);
        secure.setProperty("zookeeper.ssl.trustStore.location", args[3] + "/trust.jks");
        secure.setProperty("zookeeper.ssl.trustStore.password", args[4]);
        use("localhost:" + args[2], secure);
        for (String path : System.getProperty("java.class.path").split(":")) {
            if (path.contains("/zookeeper-")) {
                try (JarFile jar = new JarFile(path)) {
                    jar.stream().forEach(entry -> load(entry.getName()));
                }
            }
        }
        Path modules = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules");
        for (String part : OF_JAVA) {
            try (Stream<Path> files = Files.walk(modules.resolve(part))) {
                files.filter(Files::isRegularFile).forEach(file -> load(file.subpath(2, file.getNameCount()).toString()));
            }
        }
        System.exit(0);
    }

    private static void use(String address, ZKClientConfig config) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        Watcher watcher = event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        };
        try (ZooKeeper client = new ZooKeeper(address, 20000, watcher, config)) {
            if (!connected.await(60, TimeUnit.SECONDS)) {
                throw new IOException(address + " is not reached");
            }
            String path = client.create("/node-", new byte[1], ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT_SEQUENTIAL);
            client.getData(path, true, null);
            client.getChildren("/", true);
            client.getACL(path, null);
            client.setData(path, null, -1);
            client.whoAmI();
            client.delete(path, -1);
        }
    }

    /** Loads the class of a file, if it is one and has all that it needs. */
    private static void load(String file) {
        if (!file.endsWith(".class")) {
            return;
        }
        String name = file.substring(0, file.length() - ".class".length()).replace('/', '.');
        try {
            Class.forName(name, false, ClassLoader.getSystemClassLoader());
        } catch (ClassNotFoundException | LinkageError e) {
            // Not for this class path.
        }
    }
}
