import java.security.PrivilegedExceptionAction;
import java.util.Arrays;
import javax.security.auth.Subject;
import javax.security.auth.login.LoginContext;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSManager;
import org.ietf.jgss.GSSName;
import org.ietf.jgss.MessageProp;
import org.ietf.jgss.Oid;

/** Sends SASL tokens of its own making, and shows what the server answers to each. Arguments: host, port. */
public class RawTokens {
    static String host;
    static int port;

    static GSSContext context(boolean mutual, boolean order) throws Exception {
        GSSManager manager = GSSManager.getInstance();
        Oid kerberos = new Oid("1.2.840.113554.1.2.2");
        GSSName name = manager.createName("zookeeper@" + host, GSSName.NT_HOSTBASED_SERVICE);
        GSSContext context = manager.createContext(name, kerberos, null, GSSContext.DEFAULT_LIFETIME);
        context.requestMutualAuth(mutual);
        context.requestSequenceDet(order);
        context.requestReplayDet(order);
        context.requestConf(true);
        return context;
    }

    static byte[] first(GSSContext context) throws Exception {
        return context.initSecContext(new byte[0], 0, 0);
    }

    static byte[] choice(GSSContext context, boolean sealed, byte... bytes) throws Exception {
        return context.wrap(bytes, 0, bytes.length, new MessageProp(0, sealed));
    }

    interface Script {
        void run(Connection connection) throws Exception;
    }

    static void play(String name, Script script) throws Exception {
        System.out.println(name);
        try (Connection connection = new Connection(host, port)) {
            script.run(connection);
        }
    }

    static void scripts() throws Exception {
        byte[][] recorded = new byte[2][];
        play("whole", connection -> {
            GSSContext context = context(false, true);
            byte[] offer = connection.send("first", recorded[0] = first(context));
            byte[] offered = context.unwrap(offer, 0, offer.length, new MessageProp(false));
            System.out.println("  offered " + Arrays.toString(offered));
            connection.send("choice", recorded[1] = choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0));
        });
        play("replayed", connection -> {
            if (connection.send("first", recorded[0]) != null) {
                connection.send("choice", recorded[1]);
            }
        });
        play("mutual and sealed", connection -> {
            GSSContext context = context(true, true);
            byte[] proof = connection.send("first", first(context));
            context.initSecContext(proof, 0, proof.length);
            System.out.println("  established " + context.isEstablished());
            byte[] offer = connection.send("nothing", new byte[0]);
            System.out.println("  offered " + Arrays.toString(context.unwrap(offer, 0, offer.length, new MessageProp(false))));
            connection.send("choice", choice(context, true, (byte) 1, (byte) 0, (byte) 0, (byte) 0));
        });
        play("without order", connection -> {
            GSSContext context = context(false, false);
            connection.send("first", first(context));
            choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0);
            connection.send("choice", choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0));
        });
        play("out of order", connection -> {
            GSSContext context = context(false, true);
            connection.send("first", first(context));
            choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0);
            connection.send("choice", choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0));
        });
        play("wants another layer", connection -> {
            GSSContext context = context(false, true);
            connection.send("first", first(context));
            connection.send("choice", choice(context, false, (byte) 2, (byte) 1, (byte) 0, (byte) 0));
        });
        play("wants every layer", connection -> {
            GSSContext context = context(false, true);
            connection.send("first", first(context));
            connection.send("choice", choice(context, false, (byte) 7, (byte) 1, (byte) 0, (byte) 0));
        });
        play("changed choice", connection -> {
            GSSContext context = context(false, true);
            connection.send("first", first(context));
            byte[] choice = choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0);
            choice[choice.length - 1] ^= 1;
            connection.send("choice", choice);
        });
        play("choice too early", connection -> {
            GSSContext context = context(true, true);
            connection.send("first", first(context));
            connection.send("something", new byte[] {1});
        });
        for (int back : new int[] {1, 40, 200, 400, 600}) {
            play("changed " + back + " from the end", connection -> {
                byte[] token = first(context(false, true));
                token[token.length - back] ^= 1;
                connection.send("first", token);
            });
        }
        play("cut", connection -> {
            byte[] token = first(context(false, true));
            connection.send("first", Arrays.copyOf(token, token.length - 7));
        });
        play("begun twice", connection -> {
            connection.send("first", first(context(true, true)));
            connection.send("first again", first(context(true, true)));
            connection.who();
        });
        play("not finished", connection -> {
            connection.send("first", first(context(false, true)));
            connection.who();
        });
        play("not begun", Connection::who);
        play("choice first", connection -> {
            connection.send("choice", new byte[] {1, 0, 0, 0});
            connection.who();
        });
        play("padded", connection -> {
            byte[] token = first(context(false, true));
            connection.send("first", Arrays.copyOf(token, token.length + 100_000));
            connection.who();
        });
        play("large", connection -> {
            connection.send("first", new byte[1_000_000]);
            connection.who();
        });
        play("larger than a request may be", connection -> {
            connection.send("first", new byte[1_100_000]);
            connection.who();
        });
        play("replayed half way", connection -> {
            byte[] token = first(context(false, true));
            connection.send("first", token);
            try (Connection second = new Connection(host, port)) {
                second.send("the same, by another", token);
                second.who();
            }
        });
        play("empty", connection -> connection.send("first", new byte[0]));
        play("nonsense", connection -> connection.send("first", "hello".getBytes()));
        play("another mechanism", connection -> {
            byte[] token = first(context(false, true));
            token[10] ^= 1;
            connection.send("first", token);
        });
        play("after the end", connection -> {
            GSSContext context = context(false, true);
            connection.send("first", first(context));
            connection.send("choice", choice(context, false, (byte) 1, (byte) 0, (byte) 0, (byte) 0));
            connection.send("more", first(context(false, true)));
        });
    }

    public static void main(String[] args) throws Exception {
        host = args[0];
        port = Integer.parseInt(args[1]);
        LoginContext login = new LoginContext("Client");
        login.login();
        Subject.doAs(login.getSubject(), (PrivilegedExceptionAction<Void>) () -> {
            scripts();
            return null;
        });
        System.exit(0);
    }
}
