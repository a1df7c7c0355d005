import java.lang.reflect.Field;
import org.apache.jute.Record;
import org.apache.zookeeper.ClientCnxn;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.CreateResponse;
import org.apache.zookeeper.proto.DeleteRequest;
import org.apache.zookeeper.proto.ExistsRequest;
import org.apache.zookeeper.proto.ExistsResponse;
import org.apache.zookeeper.proto.GetChildrenRequest;
import org.apache.zookeeper.proto.GetChildrenResponse;
import org.apache.zookeeper.proto.GetDataRequest;
import org.apache.zookeeper.proto.GetDataResponse;
import org.apache.zookeeper.proto.ReplyHeader;
import org.apache.zookeeper.proto.RequestHeader;
import org.apache.zookeeper.proto.SetDataRequest;
import org.apache.zookeeper.proto.SetDataResponse;
import org.apache.zookeeper.proto.SyncRequest;
import org.apache.zookeeper.proto.SyncResponse;

/** Path rules as the server sees them: requests are sent past the client library's own checks. */
final class Paths {
    private static final String[] PATHS = {
        "/", "", "x", "x/y", "/paths/", "/paths//x", "//", "/paths/.", "/paths/..", "/paths/./x", "/paths/../x", "/./x",
        "/paths/...", "/paths/.x", "/paths/a b", "/paths/\u0000", "/paths/\u0001", "/paths/\u001f", "/paths/\t", "/paths/\u007f",
        "/paths/\u009f", "/paths/\u00a0", "/paths/\u00e9", "/paths/\ud7ff", "/paths/\ue000", "/paths/\uf8ff", "/paths/\uf900",
        "/paths/\uffef", "/paths/\ufff0", "/paths/\uffff", "/paths/\ud83d\ude00", "/paths/%2F", "/paths/\u4e2d\u6587",
        "/zookeeper/x", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/zookeeper/config/x",
    };

    private Paths() {
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client client = t.open("p");
        t.section(client.zk, "paths");
        for (String path : PATHS) {
            for (int flags : new int[] {0, 2, 1, 4}) {
                raw(t, client.zk, "create " + flags, ZooDefs.OpCode.create, new CreateRequest(path, null, Ids.OPEN_ACL_UNSAFE, flags), new CreateResponse(), path);
            }
            raw(t, client.zk, "exists", ZooDefs.OpCode.exists, new ExistsRequest(path, false), new ExistsResponse(), path);
            raw(t, client.zk, "get", ZooDefs.OpCode.getData, new GetDataRequest(path, false), new GetDataResponse(), path);
            raw(t, client.zk, "children", ZooDefs.OpCode.getChildren, new GetChildrenRequest(path, false), new GetChildrenResponse(), path);
            raw(t, client.zk, "set", ZooDefs.OpCode.setData, new SetDataRequest(path, null, 99), new SetDataResponse(), path);
            raw(t, client.zk, "delete", ZooDefs.OpCode.delete, new DeleteRequest(path, -1), null, path);
            raw(t, client.zk, "sync", ZooDefs.OpCode.sync, new SyncRequest(path), new SyncResponse(), path);
        }
        for (int flags : new int[] {5, 6, 7, 8, -1, 100}) {
            raw(t, client.zk, "create with flags " + flags, ZooDefs.OpCode.create, new CreateRequest("/paths/f", null, Ids.OPEN_ACL_UNSAFE, flags), new CreateResponse(), "/paths/f");
            raw(t, client.zk, "create2 with flags " + flags, ZooDefs.OpCode.create2, new CreateRequest("/paths/f", null, Ids.OPEN_ACL_UNSAFE, flags), new CreateResponse(), "/paths/f");
            raw(t, client.zk, "container with flags " + flags, ZooDefs.OpCode.createContainer, new CreateRequest("/paths/f", null, Ids.OPEN_ACL_UNSAFE, flags), new CreateResponse(), "/paths/f");
        }
        raw(t, client.zk, "null path", ZooDefs.OpCode.create, new CreateRequest(null, null, Ids.OPEN_ACL_UNSAFE, 0), new CreateResponse(), "null");
        raw(t, client.zk, "null acl", ZooDefs.OpCode.create, new CreateRequest("/paths/noacl", null, null, 0), new CreateResponse(), "/paths/noacl");
        raw(t, client.zk, "get null path", ZooDefs.OpCode.getData, new GetDataRequest(null, false), new GetDataResponse(), "null");
        t.show("children of the section", () -> Transcript.sorted(client.zk.getChildren("/paths", false)).toString().length());
        t.show("chroot client", () -> {
            Transcript.Client c = t.open("c", t.address + "/paths", Transcript.TIMEOUT_MS);
            c.zk.create("/in", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            String names = t.stat(c.zk.exists("/", false)) + c.zk.getChildren("/in", false);
            c.zk.close();
            return names;
        });
        t.show("the chroot's node", () -> client.zk.exists("/paths/in", false));
        client.zk.close();
    }

    private static void raw(Transcript t, ZooKeeper zk, String label, int op, Record request, Record response, String path) throws Exception {
        Field field = ZooKeeper.class.getDeclaredField("cnxn");
        field.setAccessible(true);
        RequestHeader header = new RequestHeader();
        header.setType(op);
        ReplyHeader reply = ((ClientCnxn) field.get(zk)).submitRequest(header, request, response, null);
        StringBuilder shown = new StringBuilder();
        for (char c : path.toCharArray()) {
            shown.append(c > 0x20 && c < 0x7f ? "" + c : String.format("\\u%04x", (int) c));
        }
        String made = reply.getErr() == 0 && response instanceof CreateResponse ? " len " + ((CreateResponse) response).getPath().length() : "";
        t.say(label + " '" + shown + "': " + reply.getErr() + made);
    }
}
