import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.Socket;

/** One connection with a session. */
final class Connection implements AutoCloseable {
    final Socket socket;
    final DataInputStream in;
    final DataOutputStream out;
    int xid = 0;

    Connection(String host, int port) throws IOException {
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

    /** Who the server says that this is: schemes and names. */
    void who() {
        try {
            out.writeInt(8);
            out.writeInt(++xid);
            out.writeInt(107);
            byte[] reply = new byte[in.readInt()];
            in.readFully(reply);
            java.nio.ByteBuffer body = java.nio.ByteBuffer.wrap(reply, 16, reply.length - 16);
            java.util.TreeSet<String> ids = new java.util.TreeSet<>();
            for (int left = body.getInt(); left > 0; left--) {
                ids.add(text(body) + ":" + text(body));
            }
            System.out.println("  is " + ids);
        } catch (IOException e) {
            System.out.println("  is nobody, closed");
        }
    }

    private static String text(java.nio.ByteBuffer from) {
        byte[] bytes = new byte[from.getInt()];
        from.get(bytes);
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
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
