import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.Socket;
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

    /** One connection with a session. */
    static class Connection implements AutoCloseable {
        final Socket socket;
        final DataInputStream in;
        final DataOutputStream out;
        int xid = 0;

        Connection() throws IOException {
            socket = new Socket(host, port);
            socket.setSoTimeout(20000);
            in = new DataInputStream(socket.getInputStream());
            out = new DataOutputStream(socket.getOutputStream());
            out.writeInt(45);
            out.writeInt(0);
            out.writeLong(0);
            out.writeInt(20000);
            out.writeLong(0);
            out.writeInt(16);
            out.write(new byte[16]);
            out.writeByte(0);
            in.readFully(new byte[in.readInt()]);
        }

        /** The server's token, or null; what it answered is shown. */
        byte[] send(String label, byte[] token) throws IOException {
            try {
                out.writeInt(12 + token.length);
                out.writeInt(++xid);
                out.writeInt(102);
                out.writeInt(token.length);
                out.write(token);
                in.readInt();
                in.readInt();
                in.readLong();
                int err = in.readInt();
                int length = in.readInt();
                System.out.println("  " + label + " -> err " + err + (length < 0 ? ", no token" : ", token"));
                if (length < 0) {
                    return null;
                }
                byte[] answer = new byte[length];
                in.readFully(answer);
                return answer;
            } catch (IOException e) {
                System.out.println("  " + label + " -> closed");
                return null;
            }
        }

        /** Whether the server still answers: a ping. */
        void ping() {
            try {
                out.writeInt(8);
                out.writeInt(-2);
                out.writeInt(11);
                in.readFully(new byte[in.readInt()]);
                System.out.println("  lives");
            } catch (IOException e) {
                System.out.println("  closed");
            }
        }

        @Override
        public void close() throws IOException {
            ping();
            socket.close();
        }
    }

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
        try (Connection connection = new Connection()) {
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
