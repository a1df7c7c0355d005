import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;
import javax.security.auth.x500.X500Principal;

/**
 * What the JDK makes of names. {@code printed}: names of certificates, as DER, and how they print.
 * {@code accepted}: texts, and whether they are names. Bytes and texts are hexadecimal. The same lines every time.
 */
public final class Names {
    private static final Random RANDOM = new Random(10);
    private static final String[] KINDS = {
        "550403", "550406", "550407", "550408", "55040a", "55040b", "550409", "0992268993f22c640119",
        "0992268993f22c640101", "2a864886f70d010901", "550405", "55040c", "550404", "883703", "2a03", "550461",
    };
    private static final String[] PIECES = {
        "a", "Z", "7", " ", "  ", ",", "=", "+", "<", ">", "#", ";", "\"", "\\", "\r", "\n", "\t", "\0", "'", "(", "?", "ä", "ß",
        "€", "漢", "😀", "CN", ".", "/", "é", "~", "\u0001", "\u007f",
    };
    private static final String[] WORDS = {
        "CN=", "cn=", "OU", "O=a", "=", ",", ";", "+", "\"", "\\", "\\,", "\\\\", "#", "#0c0161", "#04", "2.5.4.3=", "oid.1.2=", "OID.2.5.4.3=x",
        " ", "\n", "a", "b c", "\\41", "\\4", "<", ">", "C=DE", ",O=x", "+OU=y", "1.2.3=z", "3.1=q", "EMAILADDRESS=a@b", "UID=", "DNQ=1", "ä", "\\ ", "\\x",
        "T=", "STREET=\"a, b\"", "s=1", "XX=1", "CN =a", " CN=a",
    };

    public static void main(String[] args) {
        if (args[0].equals("release")) {
            System.out.println(Runtime.version().feature());
            return;
        }
        for (int n = 0; n < 300; n++) {
            System.out.println(args[0].equals("printed") ? printed() : accepted());
        }
    }

    private static String printed() {
        ByteArrayOutputStream sets = new ByteArrayOutputStream();
        int count = RANDOM.nextInt(5);
        for (int n = 0; n < count; n++) {
            ByteArrayOutputStream pairs = new ByteArrayOutputStream();
            int values = RANDOM.nextInt(4) == 0 ? 2 : 1;
            for (int value = 0; value < values; value++) {
                pairs.writeBytes(pair());
            }
            sets.writeBytes(element(0x31, pairs.toByteArray()));
        }
        byte[] name = element(0x30, sets.toByteArray());
        return hex(name) + " " + hex(new X500Principal(name).getName().getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] pair() {
        String kind = KINDS[RANDOM.nextInt(KINDS.length)];
        int[] tags = {0x0c, 0x0c, 0x0c, 0x13, 0x13, 0x16, 0x14, 0x1b, 0x1e, 0x1c, 0x12, 0x03, 0x02};
        int tag = tags[RANDOM.nextInt(tags.length)];
        byte[] value = switch (tag) {
            case 0x0c -> text(true).getBytes(StandardCharsets.UTF_8);
            case 0x1e -> text(true).getBytes(StandardCharsets.UTF_16BE);
            case 0x02 -> new byte[] {5};
            case 0x03 -> new byte[] {0, 7};
            case 0x14 -> text(true).getBytes(StandardCharsets.ISO_8859_1);
            default -> text(false).getBytes(StandardCharsets.ISO_8859_1);
        };
        ByteArrayOutputStream both = new ByteArrayOutputStream();
        both.writeBytes(element(0x06, HexFormat.of().parseHex(kind)));
        both.writeBytes(element(tag, value));
        return element(0x30, both.toByteArray());
    }

    private static String text(boolean isWide) {
        StringBuilder text = new StringBuilder();
        int count = RANDOM.nextInt(7);
        for (int n = 0; n < count; n++) {
            String piece = PIECES[RANDOM.nextInt(PIECES.length)];
            if (isWide || piece.charAt(0) < 0x80) {
                text.append(piece);
            }
        }
        return text.toString();
    }

    private static String accepted() {
        StringBuilder text = new StringBuilder();
        int count = RANDOM.nextInt(8);
        for (int n = 0; n < count; n++) {
            text.append(WORDS[RANDOM.nextInt(WORDS.length)]);
        }
        boolean isName;
        try {
            new X500Principal(text.toString());
            isName = true;
        } catch (IllegalArgumentException e) {
            isName = false;
        }
        return "x" + hex(text.toString().getBytes(StandardCharsets.UTF_8)) + " " + isName;
    }

    private static byte[] element(int tag, byte[] content) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(tag);
        if (content.length < 128) {
            bytes.write(content.length);
        } else {
            bytes.write(0x82);
            bytes.write(content.length >> 8);
            bytes.write(content.length);
        }
        bytes.writeBytes(content);
        return bytes.toByteArray();
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}
