import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;

/** Clients of a server with TLS: what each comes to, a line each. */
public final class Tls {
    private static String dir;
    private static String password;
    private static int plainPort;
    private static int securePort;

    public static void main(String[] args) throws Exception {
        plainPort = Integer.parseInt(args[0]);
        securePort = Integer.parseInt(args[1]);
        dir = args[2] + "/";
        password = args[3];
        for (int n = 4; n < args.length; n++) {
            switch (args[n]) {
                case "clients" -> clients();
                case "stores" -> stores();
                case "probes" -> probes(securePort);
                case "unified" -> probes(plainPort);
                case "plain" -> plain();
                case "words" -> words();
                case "hosts" -> hosts();
                case "resumption" -> resumption();
                case "subject" -> subject();
                default -> {
                    if (!args[n].endsWith(".p12")) {
                        throw new IllegalArgumentException(args[n]);
                    }
                    System.out.println(args[n] + ": " + probe(securePort, args[n], "TLSv1.3"));
                }
            }
        }
    }

    /** Apache's client with its own settings: who it is, and what it may do. */
    private static void clients() throws Exception {
        try (ZooKeeper own = connect("client.p12", "trust.jks")) {
            who("client", own);
            own.create("/own", new byte[0], ZooDefs.Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            acl("/own", own);
            for (String name : List.of("CN=a", "CN=a,", "cn = a ; O=b", "", "no name", "1.2.3=#0c0161", "CN=\\20a")) {
                List<ACL> acl = List.of(new ACL(31, new Id("x509", name)), new ACL(31, new Id("world", "anyone")));
                say("acl " + name, () -> own.create("/n", new byte[0], acl, CreateMode.EPHEMERAL_SEQUENTIAL).substring(0, 3));
            }
            own.addAuthInfo("x509", "anything".getBytes(StandardCharsets.UTF_8));
            say("after addauth", () -> String.valueOf(own.exists("/own", false) != null));
            who("client after addauth", own);
        }
        try (ZooKeeper root = connect("super.p12", "trust.p12")) {
            who("super", root);
            say("super reads", () -> String.valueOf(root.getData("/own", false, null).length));
            say("super sets", () -> String.valueOf(root.setACL("/own", ZooDefs.Ids.READ_ACL_UNSAFE, -1).getAversion()));
        }
        try (ZooKeeper old = connect("v1.p12", "trust.jks")) {
            who("v1", old);
            say("v1 reads", () -> String.valueOf(old.getData("/own", false, null).length));
            say("v1 writes", () -> String.valueOf(old.setData("/own", null, -1).getVersion()));
        }
    }

    /** Each kind of store on the side of the client. */
    private static void stores() throws Exception {
        for (String store : List.of("client.p12", "client.jks", "client.pem")) {
            try (ZooKeeper client = connect(store, store.endsWith("pem") ? "ca.pem" : "trust.jks")) {
                who(store, client);
            }
        }
    }

    private static void probes(int port) {
        for (String protocol : List.of("TLSv1.3", "TLSv1.2", "TLSv1.1")) {
            for (String store : List.of("client.p12", "", "v1.p12", "expired.p12", "serverauth.p12", "stranger.p12", "super.p12")) {
                System.out.println(protocol + " " + store + ": " + probe(port, store, protocol));
            }
        }
        System.out.println("without TLS: " + session(() -> new Socket("127.0.0.1", port)));
        System.out.println("a word: " + word("ruok", port, "client.p12"));
    }

    private static void plain() {
        System.out.println("plain: " + session(() -> new Socket("127.0.0.1", plainPort)));
        System.out.println("TLS on the plain port: " + probe(plainPort, "client.p12", "TLSv1.3"));
    }

    /** Of whose clients each port speaks: one of each, and what a reset by either port does to them. */
    private static void words() throws Exception {
        Dial plain = () -> new Socket("127.0.0.1", plainPort);
        Dial secure = () -> socket(context("client.p12"), securePort, "TLSv1.3");
        try (Socket one = plain.make(); Socket other = secure.make()) {
            System.out.println("sessions: " + hasSession(one) + " " + hasSession(other));
            for (String reset : List.of("", "secure", "plain")) {
                if (!reset.isEmpty()) {
                    System.out.print(reset + " crst: " + word("crst", reset.equals("plain") ? plain : secure));
                }
                for (String word : List.of("cons", "stat")) {
                    System.out.println("plain " + word + " has " + listed(word(word, plain), one, other));
                    System.out.println("secure " + word + " has " + listed(word(word, secure), one, other));
                }
            }
        }
    }

    /** Which of the two are in a list of connections, and how much came of each. */
    private static String listed(String text, Socket plain, Socket secure) {
        return text.lines().filter(line -> line.contains("recved=")).map(line -> {
            String recved = line.replaceAll(".*(recved=\\d+).*", "$1");
            for (Socket socket : List.of(plain, secure)) {
                if (line.contains(":" + socket.getLocalPort() + "[")) {
                    return (socket == plain ? "plain " : "secure ") + recved;
                }
            }
            return "";
        }).filter(line -> !line.isEmpty()).sorted().collect(Collectors.joining(", "));
    }

    private static void hosts() {
        for (String store : List.of("named.p12", "client.p12")) {
            System.out.println(store + ": " + probe(securePort, store, "TLSv1.3"));
        }
    }

    /** Whether the second connection goes on with what the first began. */
    private static void resumption() throws Exception {
        for (String protocol : List.of("TLSv1.2", "TLSv1.3")) {
            SSLContext context = context("client.p12");
            long[] created = new long[2];
            for (int n = 0; n < 2; n++) {
                try (SSLSocket socket = socket(context, securePort, protocol)) {
                    if (!hasSession(socket)) {
                        throw new IOException("no session");
                    }
                    created[n] = socket.getSession().getCreationTime();
                }
                Thread.sleep(20);
            }
            System.out.println(protocol + " resumed: " + (created[0] == created[1]));
        }
    }

    /** Whose certificate the server shows. */
    private static void subject() throws Exception {
        try (SSLSocket socket = socket(context("client.p12"), securePort, "TLSv1.3")) {
            socket.startHandshake();
            X509Certificate shown = (X509Certificate) socket.getSession().getPeerCertificates()[0];
            System.out.println(shown.getSubjectX500Principal().getName());
        }
    }

    private interface Call {
        String make() throws Exception;
    }

    private static void say(String what, Call call) {
        String came;
        try {
            came = call.make();
        } catch (KeeperException e) {
            came = e.code().toString();
        } catch (Exception e) {
            came = e.getClass().getSimpleName();
        }
        System.out.println(what + ": " + came);
    }

    private static void who(String what, ZooKeeper client) throws Exception {
        System.out.println(what + " is " + client.whoAmI().stream()
            .map(one -> one.getAuthScheme() + "=" + one.getUser()).sorted().collect(Collectors.joining(" ")));
    }

    private static void acl(String path, ZooKeeper client) throws Exception {
        System.out.println(path + " is of " + client.getACL(path, null));
    }

    private static ZooKeeper connect(String keyStore, String trustStore) throws Exception {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty("zookeeper.client.secure", "true");
        config.setProperty("zookeeper.clientCnxnSocket", "org.apache.zookeeper.ClientCnxnSocketNetty");
        config.setProperty("zookeeper.ssl.keyStore.location", dir + keyStore);
        config.setProperty("zookeeper.ssl.keyStore.password", password);
        config.setProperty("zookeeper.ssl.trustStore.location", dir + trustStore);
        config.setProperty("zookeeper.ssl.trustStore.password", password);
        CountDownLatch connected = new CountDownLatch(1);
        Watcher watcher = event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        };
        ZooKeeper client = new ZooKeeper("127.0.0.1:" + securePort, 20000, watcher, config);
        if (!connected.await(60, TimeUnit.SECONDS)) {
            throw new IOException(keyStore + " does not connect");
        }
        return client;
    }

    private interface Dial {
        Socket make() throws Exception;
    }

    private static String probe(int port, String store, String protocol) {
        return session(() -> socket(context(store), port, protocol));
    }

    private static String session(Dial dial) {
        try (Socket socket = dial.make()) {
            return hasSession(socket) ? "session" : "end";
        } catch (Exception e) {
            return "end";
        }
    }

    private static boolean hasSession(Socket socket) throws IOException {
        socket.setSoTimeout(30000);
        DataOutputStream out = new DataOutputStream(new java.io.BufferedOutputStream(socket.getOutputStream()));
        out.writeInt(45);
        out.writeInt(0);
        out.writeLong(0);
        out.writeInt(10000);
        out.writeLong(0);
        out.writeInt(16);
        out.write(new byte[16]);
        out.writeByte(0);
        out.flush();
        return new DataInputStream(socket.getInputStream()).readInt() == 37;
    }

    private static String word(String word, int port, String store) {
        return word(word, () -> socket(context(store), port, "TLSv1.3"));
    }

    private static String word(String word, Dial dial) {
        try (Socket socket = dial.make()) {
            socket.setSoTimeout(30000);
            socket.getOutputStream().write(word.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
        } catch (Exception e) {
            return "end";
        }
    }

    private static SSLSocket socket(SSLContext context, int port, String protocol) throws Exception {
        SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket();
        socket.connect(new InetSocketAddress("127.0.0.1", port), 10000);
        socket.setEnabledProtocols(new String[] {protocol});
        return socket;
    }

    /** Believes every server, and shows its certificate whoever the server names. */
    private static SSLContext context(String store) throws Exception {
        KeyManager[] keys = null;
        if (!store.isEmpty()) {
            KeyStore loaded = KeyStore.getInstance("PKCS12");
            try (FileInputStream in = new FileInputStream(dir + store)) {
                loaded.load(in, password.toCharArray());
            }
            KeyManagerFactory factory = KeyManagerFactory.getInstance("NewSunX509");
            factory.init(new javax.net.ssl.KeyStoreBuilderParameters(
                KeyStore.Builder.newInstance(loaded, new KeyStore.PasswordProtection(password.toCharArray()))));
            keys = new KeyManager[] {new Shows((javax.net.ssl.X509KeyManager) factory.getKeyManagers()[0], store)};
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys, new TrustManager[] {new Anybody()}, null);
        return context;
    }

    private static final class Anybody implements X509TrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) {
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) {
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }

    private static final class Shows extends javax.net.ssl.X509ExtendedKeyManager {
        private final javax.net.ssl.X509KeyManager inner;
        private final String alias;

        Shows(javax.net.ssl.X509KeyManager inner, String store) {
            this.inner = inner;
            String name = store.substring(0, store.indexOf('.'));
            String[] found = inner.getClientAliases("EC", null);
            this.alias = found == null ? name : found[0];
        }

        @Override
        public String[] getClientAliases(String type, java.security.Principal[] issuers) {
            return new String[] {alias};
        }

        @Override
        public String chooseClientAlias(String[] types, java.security.Principal[] issuers, Socket socket) {
            return alias;
        }

        @Override
        public String[] getServerAliases(String type, java.security.Principal[] issuers) {
            return null;
        }

        @Override
        public String chooseServerAlias(String type, java.security.Principal[] issuers, Socket socket) {
            return null;
        }

        @Override
        public X509Certificate[] getCertificateChain(String name) {
            return inner.getCertificateChain(name);
        }

        @Override
        public java.security.PrivateKey getPrivateKey(String name) {
            return inner.getPrivateKey(name);
        }
    }
}
