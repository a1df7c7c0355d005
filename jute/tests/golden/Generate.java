// Writes the golden files of this folder with the reference's own classes. CLASSPATH is what
// `mvn dependency:build-classpath -Dmdep.outputFile=classpath.txt` prints for benches/apache/pom.xml. Run:
//   for f in schema records txns multi strings; do java -cp "$CLASSPATH" Generate.java $f > $f.txt; done

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Proxy;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.jute.BinaryInputArchive;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.OutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.MultiResponse;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.CheckVersionRequest;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.CreateTTLRequest;
import org.apache.zookeeper.proto.DeleteRequest;
import org.apache.zookeeper.proto.GetChildrenRequest;
import org.apache.zookeeper.proto.GetDataRequest;
import org.apache.zookeeper.proto.MultiHeader;
import org.apache.zookeeper.proto.SetDataRequest;
import org.apache.zookeeper.server.TxnLogEntry;
import org.apache.zookeeper.server.util.SerializeUtils;
import org.apache.zookeeper.txn.CheckVersionTxn;
import org.apache.zookeeper.txn.CloseSessionTxn;
import org.apache.zookeeper.txn.CreateContainerTxn;
import org.apache.zookeeper.txn.CreateSessionTxn;
import org.apache.zookeeper.txn.CreateTTLTxn;
import org.apache.zookeeper.txn.CreateTxn;
import org.apache.zookeeper.txn.CreateTxnV0;
import org.apache.zookeeper.txn.DeleteTxn;
import org.apache.zookeeper.txn.ErrorTxn;
import org.apache.zookeeper.txn.MultiTxn;
import org.apache.zookeeper.txn.SetACLTxn;
import org.apache.zookeeper.txn.SetDataTxn;
import org.apache.zookeeper.txn.Txn;
import org.apache.zookeeper.txn.TxnDigest;
import org.apache.zookeeper.txn.TxnHeader;

public class Generate {
    static final String ROOT = "org.apache.zookeeper.";
    static final List<String> MODULES =
        List.of("data", "proto", "server.persistence", "server.quorum", "txn");

    public static void main(String[] args) throws Exception {
        System.setOut(new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8"));
        switch (args[0]) {
            case "schema" -> schema();
            case "records" -> records();
            case "txns" -> txns();
            case "multi" -> multi();
            case "strings" -> strings(args.length > 1);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    // ---- what a record looks like, asked of the record itself ----

    /** Fields in the order in which the record writes them, with their wire types. */
    static Map<String, String> fields(Class<?> type) throws Exception {
        Map<String, String> found = new LinkedHashMap<>();
        OutputArchive recorder = (OutputArchive) Proxy.newProxyInstance(
            Generate.class.getClassLoader(), new Class<?>[] {OutputArchive.class}, (proxy, method, arguments) -> {
                String name = (String) arguments[arguments.length - 1];
                switch (method.getName()) {
                    case "writeBool" -> found.put(name, "boolean");
                    case "writeInt" -> found.put(name, "int");
                    case "writeLong" -> found.put(name, "long");
                    case "writeString" -> found.put(name, "ustring");
                    case "writeBuffer" -> found.put(name, "buffer");
                    case "writeRecord" -> found.put(name, field(type, name).getType().getSimpleName());
                    case "startVector" -> {
                        Class<?> element = element(field(type, name));
                        String wire = element == String.class ? "ustring" : element.getSimpleName();
                        found.put(name, "vector<" + wire + ">");
                    }
                    case "startRecord", "endRecord", "endVector" -> { }
                    default -> throw new IllegalStateException(method.getName());
                }
                return null;
            });
        ((Record) type.getDeclaredConstructor().newInstance()).serialize(recorder, "record");
        return found;
    }

    static Field field(Class<?> type, String name) throws Exception {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    static Class<?> element(Field field) {
        Type argument = ((ParameterizedType) field.getGenericType()).getActualTypeArguments()[0];
        return (Class<?>) argument;
    }

    static Map<String, Class<?>> allRecords() throws Exception {
        Map<String, Class<?>> found = new TreeMap<>();
        try (JarFile jar = new JarFile(Stat.class.getProtectionDomain().getCodeSource().getLocation().getPath())) {
            for (var entry : (Iterable<java.util.jar.JarEntry>) jar.stream()::iterator) {
                String name = entry.getName().replace('/', '.');
                if (!name.startsWith(ROOT) || !name.endsWith(".class")) continue;
                name = name.substring(0, name.length() - 6);
                String module = name.substring(ROOT.length(), name.lastIndexOf('.'));
                Class<?> type = Class.forName(name);
                if (MODULES.contains(module) && Record.class.isAssignableFrom(type)) {
                    String last = module.substring(module.lastIndexOf('.') + 1);
                    found.put(last + "." + type.getSimpleName(), type);
                }
            }
        }
        return found;
    }

    static void schema() throws Exception {
        System.out.println("# Every record of ZooKeeper 3.9.5, by Generate.java: module.Name, then field:type in wire order.");
        for (var entry : allRecords().entrySet()) {
            StringBuilder line = new StringBuilder(entry.getKey());
            fields(entry.getValue()).forEach((name, wire) -> line.append(' ').append(name).append(':').append(wire));
            System.out.println(line);
        }
    }

    // ---- values ----

    static final List<String> VARIANTS = List.of("null", "empty", "small", "rich", "extreme");

    /** A record in which every field has the flavour of the variant. */
    static Record filled(Class<?> type, String variant, int[] counter) throws Exception {
        Record record = (Record) type.getDeclaredConstructor().newInstance();
        for (var entry : fields(type).entrySet()) {
            Field field = field(type, entry.getKey());
            field.set(record, value(field.getType(), field, variant, counter));
        }
        return record;
    }

    static Object value(Class<?> type, Field field, String variant, int[] counter) throws Exception {
        int next = ++counter[0];
        boolean isNull = variant.equals("null");
        boolean isEmpty = variant.equals("empty");
        boolean isExtreme = variant.equals("extreme");
        if (type == int.class) {
            return isNull ? 0 : isEmpty ? -1 : isExtreme ? (next % 2 == 0 ? Integer.MAX_VALUE : Integer.MIN_VALUE) : next;
        } else if (type == long.class) {
            return isNull ? 0L : isEmpty ? -1L
                : isExtreme ? (next % 2 == 0 ? Long.MAX_VALUE : Long.MIN_VALUE) : 0x100000000L * next + next;
        } else if (type == boolean.class) {
            return !isNull && next % 2 == 0 || isExtreme;
        } else if (type == String.class) {
            return isNull ? null : isEmpty ? "" : isExtreme ? "\0\n\"\\\u00ff\u07ff\u0800\ud7a3\ue000\ufffd"
                : variant.equals("rich") ? "/gr\u00fc\u00dfe/\u65e5\u672c" + next : "/a" + next;
        } else if (type == byte[].class) {
            return isNull ? null : isEmpty ? new byte[0]
                : isExtreme ? new byte[] {-1, -1, -1, -1, 0, 0, 0, 0} : new byte[] {(byte) next, 0, -128, 127};
        } else if (type == List.class) {
            if (isNull) return null;
            List<Object> list = new ArrayList<>();
            if (isEmpty) return list;
            for (String each : variant.equals("rich") ? List.of("rich", "null", "empty") : List.of(variant)) {
                list.add(value(element(field), null, each, counter));
            }
            return list;
        }
        return filled(type, variant, counter);
    }

    /** The value as Rust's derived Debug shows it, but with Java's names. */
    static String show(Object value) throws Exception {
        if (value instanceof String text) {
            return "Some(\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n")
                .replace("\0", "\\0").replace("\ue000", "\\u{e000}") + "\")";
        } else if (value instanceof byte[] bytes) {
            List<String> shown = new ArrayList<>();
            for (byte each : bytes) shown.add(Integer.toString(each & 0xff));
            return "Some([" + String.join(", ", shown) + "])";
        } else if (value instanceof List<?> list) {
            List<String> shown = new ArrayList<>();
            for (Object each : list) shown.add(each == null ? "None" : show(each));
            return "Some([" + String.join(", ", shown) + "])";
        } else if (value instanceof Record record) {
            List<String> shown = new ArrayList<>();
            for (String name : fields(record.getClass()).keySet()) {
                Object inner = field(record.getClass(), name).get(record);
                shown.add(name + ": " + (inner == null ? "None" : show(inner)));
            }
            return record.getClass().getSimpleName() + " { " + String.join(", ", shown) + " }";
        }
        return value == null ? "None" : value.toString();
    }

    static byte[] bytes(Record... records) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BinaryOutputArchive archive = new BinaryOutputArchive(new DataOutputStream(out));
        for (Record record : records) record.serialize(archive, "record");
        return out.toByteArray();
    }

    static BinaryInputArchive input(byte[] bytes) {
        return BinaryInputArchive.getArchive(new ByteArrayInputStream(bytes));
    }

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static void line(String name, byte[] bytes, String value) {
        System.out.println(name + "\n  " + hex(bytes) + "\n  " + value);
    }

    static void records() throws Exception {
        System.out.println("# Records as ZooKeeper 3.9.5 writes them, by Generate.java: name and variant, bytes, value.");
        for (var entry : allRecords().entrySet()) {
            for (String variant : VARIANTS) {
                Record record = filled(entry.getValue(), variant, new int[1]);
                byte[] bytes = bytes(record);
                Record back = (Record) entry.getValue().getDeclaredConstructor().newInstance();
                back.deserialize(input(bytes), "record");
                line(entry.getKey() + " " + variant, bytes, show(back));
            }
        }
    }

    // ---- transactions ----

    static final List<ACL> OPEN = List.of(new ACL(31, new Id("world", "anyone")));
    static final List<ACL> TWO = List.of(new ACL(1, new Id("digest", "gr\u00fc\u00df:x")), new ACL(-1, new Id(null, "")));

    static void txn(String name, int type, Record body, TxnDigest digest) throws Exception {
        TxnHeader header = new TxnHeader(0x1000123456789abL, 7, 0x500000003L, 1700000000123L, type);
        List<Record> parts = new ArrayList<>(List.of(header));
        if (body != null) parts.add(body);
        if (digest != null) parts.add(digest);
        byte[] bytes = bytes(parts.toArray(new Record[0]));
        TxnLogEntry read = SerializeUtils.deserializeTxn(bytes);
        line(name, bytes, "TxnEntry { header: " + show(read.getHeader()) + ", body: " + body(type, read.getTxn())
            + ", digest: " + (read.getDigest() == null ? "None" : "Some(" + show(read.getDigest()) + ")") + " }");
    }

    static String body(int type, Record body) throws Exception {
        String variant = switch (type) {
            case OpCode.createSession -> "CreateSession";
            case OpCode.closeSession -> "CloseSession";
            case OpCode.create -> "Create";
            case OpCode.create2 -> "Create2";
            case OpCode.createContainer -> "CreateContainer";
            case OpCode.createTTL -> "CreateTtl";
            case OpCode.delete -> "Delete";
            case OpCode.deleteContainer -> "DeleteContainer";
            case OpCode.setData -> "SetData";
            case OpCode.reconfig -> "Reconfig";
            case OpCode.setACL -> "SetAcl";
            case OpCode.check -> "Check";
            case OpCode.error -> "Error";
            case OpCode.multi -> "Multi";
            default -> throw new IllegalArgumentException("type " + type);
        };
        if (type == OpCode.closeSession) return variant + "(" + (body == null ? "None" : "Some(" + show(body) + ")") + ")";
        if (type != OpCode.multi) return variant + "(" + show(body) + ")";
        List<String> shown = new ArrayList<>();
        for (Txn part : ((MultiTxn) body).getTxns()) shown.add(body(part.getType(), part(part)));
        return variant + "([" + String.join(", ", shown) + "])";
    }

    static Record part(Txn part) throws Exception {
        Record record = switch (part.getType()) {
            case OpCode.create, OpCode.create2 -> new CreateTxn();
            case OpCode.createContainer -> new CreateContainerTxn();
            case OpCode.createTTL -> new CreateTTLTxn();
            case OpCode.delete, OpCode.deleteContainer -> new DeleteTxn();
            case OpCode.setData -> new SetDataTxn();
            case OpCode.check -> new CheckVersionTxn();
            case OpCode.error -> new ErrorTxn();
            default -> throw new IllegalArgumentException("type " + part.getType());
        };
        record.deserialize(input(part.getData()), "txn");
        return record;
    }

    static Txn part(int type, Record body) throws Exception {
        return new Txn(type, bytes(body));
    }

    static void txns() throws Exception {
        System.out.println("# Transactions as ZooKeeper 3.9.5 logs them, by Generate.java: name, bytes, value.");
        System.out.println("# Those whose name begins with \"old\" are read but never written again.");
        TxnDigest digest = new TxnDigest(2, -1234567890123L);
        CreateTxn create = new CreateTxn("/gr\u00fc\u00dfe", new byte[] {1, 2}, OPEN, false, 5);
        CreateTxn bare = new CreateTxn("/e", null, TWO, true, 0);
        for (TxnDigest each : new TxnDigest[] {null, digest}) {
            String with = each == null ? " without digest" : " with digest";
            txn("createSession" + with, OpCode.createSession, new CreateSessionTxn(30000), each);
            txn("closeSession" + with, OpCode.closeSession, new CloseSessionTxn(List.of("/e1", "/e2")), each);
            txn("closeSession of nothing" + with, OpCode.closeSession, new CloseSessionTxn(List.of()), each);
            txn("create" + with, OpCode.create, create, each);
            txn("create of an ephemeral" + with, OpCode.create, bare, each);
            txn("create2" + with, OpCode.create2, create, each);
            txn("createContainer" + with, OpCode.createContainer, new CreateContainerTxn("/c", new byte[0], OPEN, 1), each);
            txn("createTTL" + with, OpCode.createTTL, new CreateTTLTxn("/t", null, OPEN, 2, 1099511627775L), each);
            txn("delete" + with, OpCode.delete, new DeleteTxn("/d"), each);
            txn("deleteContainer" + with, OpCode.deleteContainer, new DeleteTxn("/c"), each);
            txn("setData" + with, OpCode.setData, new SetDataTxn("/s", new byte[] {-1}, -1), each);
            txn("setData to null" + with, OpCode.setData, new SetDataTxn("/s", null, Integer.MIN_VALUE), each);
            txn("reconfig" + with, OpCode.reconfig, new SetDataTxn("/zookeeper/config", "version=1".getBytes(), 1), each);
            txn("setACL" + with, OpCode.setACL, new SetACLTxn("/a", TWO, 3), each);
            txn("setACL to null" + with, OpCode.setACL, new SetACLTxn("/a", null, 3), each);
            txn("error" + with, OpCode.error, new ErrorTxn(-101), each);
            txn("multi" + with, OpCode.multi, new MultiTxn(List.of(
                part(OpCode.create, create), part(OpCode.create2, bare),
                part(OpCode.createContainer, new CreateContainerTxn("/c", null, OPEN, 1)),
                part(OpCode.createTTL, new CreateTTLTxn("/t", new byte[0], OPEN, 2, 1)),
                part(OpCode.delete, new DeleteTxn("/d")), part(OpCode.setData, new SetDataTxn("/s", new byte[0], 9)),
                part(OpCode.check, new CheckVersionTxn("/k", 4)))), each);
            txn("failed multi" + with, OpCode.multi, new MultiTxn(List.of(
                part(OpCode.error, new ErrorTxn(0)), part(OpCode.error, new ErrorTxn(-110)),
                part(OpCode.error, new ErrorTxn(-2)))), each);
            txn("empty multi" + with, OpCode.multi, new MultiTxn(List.of()), each);
        }
        txn("old create", OpCode.create, new CreateTxnV0("/v0", new byte[] {3}, OPEN, false), null);
        txn("old create of an ephemeral", OpCode.create, new CreateTxnV0("/v0", null, null, true), null);
        txn("closeSession without a list", OpCode.closeSession, null, null);
    }

    // ---- multi requests and their answers ----

    static void multi(String name, Record... parts) throws Exception {
        byte[] bytes = bytes(parts);
        String value;
        try {
            MultiOperationRecord read = new MultiOperationRecord();
            read.deserialize(input(bytes), "multi");
            List<String> shown = new ArrayList<>();
            for (Op op : read) shown.add(op(op));
            String kind = read.getOpKind() == Op.OpKind.READ ? "Read" : "Write";
            value = kind + "([" + String.join(", ", shown) + "])";
        } catch (java.io.IOException | RuntimeException refused) {
            value = "refused";
        }
        line("request " + name, bytes, value);
    }

    static String op(Op op) throws Exception {
        Record request = op.toRequestRecord();
        return switch (op.getType()) {
            case OpCode.delete -> "Delete(" + show(request) + ")";
            case OpCode.setData -> "SetData(" + show(request) + ")";
            case OpCode.check -> "Check(" + show(request) + ")";
            case OpCode.getData -> "GetData(" + show(request) + ")";
            case OpCode.getChildren -> "GetChildren(" + show(request) + ")";
            default -> {
                if (request instanceof CreateRequest plain) {
                    request = new CreateTTLRequest(plain.getPath(), plain.getData(), plain.getAcl(), plain.getFlags(), -1);
                }
                yield "Create { op: OpCode(" + op.getType() + "), request: " + show(request) + " }";
            }
        };
    }

    static MultiHeader head(int type) {
        return new MultiHeader(type, false, -1);
    }

    static void multi() throws Exception {
        System.out.println("# Multis as ZooKeeper 3.9.5 reads and answers them, by Generate.java: name, bytes, value.");
        MultiHeader end = new MultiHeader(-1, true, -1);
        byte[] data = {1, -1};
        multi("empty", end);
        for (int type : new int[] {OpCode.create, OpCode.create2, OpCode.createContainer}) {
            for (int flags = -1; flags <= 7; flags++) {
                multi("create as " + type + " with flags " + flags, head(type), new CreateRequest("/n", data, OPEN, flags), end);
            }
        }
        for (int flags = 0; flags <= 6; flags++) {
            multi("createTTL with flags " + flags, head(OpCode.createTTL), new CreateTTLRequest("/n", null, TWO, flags, 9), end);
        }
        multi("of writes", head(OpCode.delete), new DeleteRequest("/gr\u00fc\u00dfe", -1), head(OpCode.setData),
            new SetDataRequest("/s", null, 3), head(OpCode.check), new CheckVersionRequest("", Integer.MIN_VALUE),
            head(OpCode.create), new CreateRequest(null, new byte[0], List.of(), 3), end);
        multi("of reads", head(OpCode.getData), new GetDataRequest("/g", false), head(OpCode.getChildren),
            new GetChildrenRequest("/c", false), end);
        multi("of both", head(OpCode.getData), new GetDataRequest("/g", false), head(OpCode.delete), new DeleteRequest("/d", 0), end);
        multi("of an unknown type", head(OpCode.setACL), new DeleteRequest("/d", 0), end);
        multi("without an end", head(OpCode.delete), new DeleteRequest("/d", 0));

        Stat stat = (Stat) filled(Stat.class, "rich", new int[1]);
        answer("empty");
        answer("to writes", new OpResult.CreateResult("/n"), new OpResult.CreateResult("/n", stat), new OpResult.DeleteResult(),
            new OpResult.SetDataResult(stat), new OpResult.CheckResult());
        answer("to reads", new OpResult.GetDataResult(data, stat), new OpResult.GetDataResult(null, stat),
            new OpResult.GetChildrenResult(Arrays.asList("a", "", null)), new OpResult.ErrorResult(-101));
        answer("of a failure", new OpResult.ErrorResult(0), new OpResult.ErrorResult(-103), new OpResult.ErrorResult(-2));
    }

    static void answer(String name, OpResult... results) throws Exception {
        MultiResponse response = new MultiResponse();
        for (OpResult each : results) response.add(each);
        line("response " + name, bytes(response), results.length + " results");
    }

    // ---- strings ----

    static void strings(boolean exhaustive) throws Exception {
        System.out.println("# Strings of ZooKeeper 3.9.5, by Generate.java. \"write\": UTF-8 of a string, and what is written for it.");
        System.out.println("# \"read\": bytes of a string on the wire, and UTF-8 of what is read from them. Without lengths.");
        if (!exhaustive) {
            for (String text : List.of("", "/", "\0", "gr\u00fc\u00dfe", "\u07ff\u0800\uffff", "\ud7ff\ue000", "x\ud83d\ude00",
                    "\ud800\udc00\udbff\udfff", "\ud83d\ude00/\u65e5\ud83d\ude00")) {
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                new BinaryOutputArchive(new DataOutputStream(out)).writeString(text, "text");
                byte[] written = out.toByteArray();
                System.out.println("write \"" + hex(text.getBytes(StandardCharsets.UTF_8)) + "\" \""
                    + hex(Arrays.copyOfRange(written, 4, written.length)) + "\"");
            }
        }
        int[] bytes = {0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xe1, 0xed, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
        java.util.Random random = new java.util.Random(395);
        for (int length = 1; length <= (exhaustive ? 5 : 6); length++) {
            int all = (int) Math.pow(bytes.length, length);
            int count = exhaustive ? all : length == 1 ? bytes.length : 40;
            for (int i = 0; i < count; i++) {
                byte[] text = new byte[length];
                int left = exhaustive || length == 1 ? i : random.nextInt(Integer.MAX_VALUE);
                for (int j = 0; j < length; j++, left /= bytes.length) text[j] = (byte) bytes[left % bytes.length];
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                new BinaryOutputArchive(new DataOutputStream(out)).writeBuffer(text, "text");
                String read = input(out.toByteArray()).readString("text");
                System.out.println("read \"" + hex(text) + "\" \"" + hex(read.getBytes(StandardCharsets.UTF_8)) + "\"");
            }
        }
    }
}
