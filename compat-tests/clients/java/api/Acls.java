import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Schemes, permissions and who may do what. The server must know "super:secret" as super digest. */
final class Acls {
    private Acls() {
    }

    private static ACL acl(int perms, String scheme, String id) {
        return new ACL(perms, new Id(scheme, id));
    }

    static void run(Transcript t) throws Exception {
        Transcript.Client plain = t.open("plain");
        Transcript.Client bob = t.open("bob");
        Transcript.Client boss = t.open("boss");
        t.section(plain.zk, "acls");
        bob.zk.addAuthInfo("digest", Transcript.bytes("bob:pw"));
        boss.zk.addAuthInfo("digest", Transcript.bytes("super:secret"));
        lists(t, plain.zk, "plain");
        lists(t, bob.zk, "bob");
        permissions(t, plain.zk, bob.zk, boss.zk);
        identities(t, plain, bob, boss);
        badAuth(t, plain.zk);
        plain.zk.close();
        bob.zk.close();
        boss.zk.close();
    }

    private static void lists(Transcript t, ZooKeeper zk, String who) throws Exception {
        List<ACL> entries = new ArrayList<>(Arrays.asList(
            acl(31, "world", "anyone"), acl(31, "world", "other"), acl(31, "world", ""), acl(31, "auth", ""), acl(31, "auth", "x"),
            acl(5, "digest", "bob:hash"), acl(5, "digest", "bob"), acl(5, "digest", "bob:a:b"), acl(5, "digest", ":"), acl(5, "digest", ""),
            acl(31, "sasl", "bob"), acl(31, "x509", "CN=bob"), acl(31, "super", ""), acl(31, "nope", "x"), acl(31, "", ""),
            acl(0, "world", "anyone"), acl(32, "world", "anyone"), acl(-1, "world", "anyone")));
        for (String ip : new String[] {
            "127.0.0.1", "127.0.0.1/32", "127.0.0.1/0", "10.0.0.0/8", "127.0.0.1/33", "127.0.0.1/-1", "127.0.0.1/x", "127.0.0.1/", "256.0.0.1", "1.2.3",
            "1.2.3.4.5", "localhost", "", "::1", "fe80::1", "::1/128", "::1/129", "2001:db8::/32", "::ffff:1.2.3.4", ":::", "01.2.3.4"}) {
            entries.add(acl(31, "ip", ip));
        }
        int n = 0;
        for (ACL entry : entries) {
            String path = "/acls/" + who + n++;
            t.show(who + " create with " + t.text(entry), () -> zk.create(path, null, Collections.singletonList(entry), CreateMode.PERSISTENT));
            t.show("  acl", () -> zk.getACL(path, new Stat()));
            t.show("  set acl", () -> zk.setACL("/acls/target" + who + (zk.exists("/acls/target" + who, false) == null
                ? zk.create("/acls/target" + who, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).substring(0, 0) : ""), Arrays.asList(entry, acl(31, "world", "anyone")), -1));
        }
        String p = "/acls/list" + who;
        zk.create(p, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        t.show("empty list", () -> zk.setACL(p, new ArrayList<>(), -1));
        t.show("null entry", () -> zk.setACL(p, Collections.singletonList(acl(31, null, null)), -1));
        t.show("duplicates", () -> zk.setACL(p, Arrays.asList(acl(31, "world", "anyone"), acl(1, "world", "anyone"), acl(31, "world", "anyone")), -1));
        t.show("  kept", () -> zk.getACL(p, new Stat()));
        t.show("good and bad", () -> zk.setACL(p, Arrays.asList(acl(31, "world", "anyone"), acl(1, "nope", "x")), -1));
        t.show("auth twice", () -> zk.setACL(p, Arrays.asList(acl(31, "world", "anyone"), acl(3, "auth", ""), acl(3, "auth", "y")), -1));
        t.show("  kept", () -> zk.getACL(p, new Stat()));
    }

    private static void permissions(Transcript t, ZooKeeper plain, ZooKeeper bob, ZooKeeper boss) throws Exception {
        String digest = DigestAuthenticationProvider.generateDigest("bob:pw");
        int[] bits = {Perms.READ, Perms.WRITE, Perms.CREATE, Perms.DELETE, Perms.ADMIN, 0};
        for (int perms : bits) {
            String p = "/acls/perm" + perms;
            boss.create(p, Transcript.bytes("d"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            boss.create(p + "/kid", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            boss.setACL(p, Collections.singletonList(acl(perms, "digest", digest)), -1);
            ZooKeeper[] clients = {plain, bob, boss};
            String[] names = {"plain", "bob", "boss"};
            for (int i = 0; i < 3; i++) {
                ZooKeeper zk = clients[i];
                String who = names[i] + " with " + perms + ": ";
                t.show(who + "get", () -> zk.getData(p, false, null));
                t.show(who + "exists", () -> zk.exists(p, false) != null);
                t.show(who + "children", () -> Transcript.sorted(zk.getChildren(p, false)));
                t.show(who + "get acl", () -> zk.getACL(p, new Stat()));
                t.show(who + "count", () -> zk.getAllChildrenNumber(p));
                t.show(who + "set", () -> zk.setData(p, Transcript.bytes("e"), -1).getVersion());
                t.show(who + "create", () -> zk.create(p + "/new", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
                t.show(who + "delete child", () -> Nodes.run(() -> zk.delete(p + "/new", -1)));
                t.show(who + "set acl", () -> zk.setACL(p, Collections.singletonList(acl(perms, "digest", digest)), -1).getAversion());
                t.show(who + "create existing", () -> zk.create(p + "/kid", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
                t.show(who + "delete missing", () -> Nodes.run(() -> zk.delete(p + "/missing", -1)));
            }
        }
        t.show("config by plain", () -> plain.setData("/zookeeper/config", Transcript.bytes("no"), -1));
        t.show("several entries", () -> boss.setACL("/acls/perm1", Arrays.asList(acl(1, "world", "anyone"), acl(2, "digest", digest), acl(16, "ip", "127.0.0.1")), -1));
        t.show("plain reads", () -> plain.getData("/acls/perm1", false, null));
        t.show("plain writes", () -> plain.setData("/acls/perm1", null, -1));
        t.show("bob writes", () -> bob.setData("/acls/perm1", null, -1).getDataLength());
        t.show("plain reads the acl by ip", () -> plain.getACL("/acls/perm1", new Stat()));
        t.show("creator all", () -> bob.create("/acls/creator", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        t.show("its acl by bob", () -> bob.getACL("/acls/creator", new Stat()));
        t.show("its acl by plain", () -> plain.getACL("/acls/creator", new Stat()));
        t.show("masked for a reader", () -> {
            boss.setACL("/acls/creator", Arrays.asList(acl(31, "digest", digest), acl(1, "world", "anyone")), -1);
            return plain.getACL("/acls/creator", new Stat());
        });
        t.show("creator all without identity", () -> plain.create("/acls/creator2", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    }

    private static void identities(Transcript t, Transcript.Client plain, Transcript.Client bob, Transcript.Client boss) throws Exception {
        for (Transcript.Client client : new Transcript.Client[] {plain, bob, boss}) {
            t.show("who am i, " + client.name, () -> who(client.zk));
        }
        bob.zk.addAuthInfo("digest", Transcript.bytes("bob:pw"));
        bob.zk.addAuthInfo("digest", Transcript.bytes("alice:with:colons"));
        bob.zk.addAuthInfo("digest", Transcript.bytes("nocolon"));
        bob.zk.addAuthInfo("ip", Transcript.bytes("ignored"));
        t.settle(bob);
        t.show("who am i with more", () -> who(bob.zk));
        t.show("auth expands to all", () -> bob.zk.create("/acls/all", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        t.show("  acl", () -> {
            List<String> entries = new ArrayList<>();
            for (ACL acl : boss.zk.getACL("/acls/all", new Stat())) {
                entries.add(t.text(acl));
            }
            return Transcript.sorted(entries);
        });
        t.show("super with auth", () -> boss.zk.create("/acls/boss", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        t.show("  acl", () -> boss.zk.getACL("/acls/boss", new Stat()));
    }

    private static List<String> who(ZooKeeper zk) throws Exception {
        List<String> names = new ArrayList<>();
        for (ClientInfo info : zk.whoAmI()) {
            names.add(info.getAuthScheme() + "=" + info.getUser());
        }
        return Transcript.sorted(names);
    }

    private static void badAuth(Transcript t, ZooKeeper watcher) throws Exception {
        for (String scheme : new String[] {"nope", "world", "auth", "x509", "sasl", "super"}) {
            Transcript.Client client = t.open("bad " + scheme, t.address, 2000);
            client.zk.create("/acls/mark", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            client.zk.addAuthInfo(scheme, Transcript.bytes("x:y"));
            boolean failed = client.authFailed.await(Transcript.LIMIT_S, TimeUnit.SECONDS);
            t.say("auth with scheme " + scheme + ": failed=" + failed + " state=" + client.zk.getState());
            t.show("  then", () -> client.zk.exists("/acls", false));
            client.zk.close();
            // The client gives up without closing its session, so the server has to let it expire.
            t.until("its session expired", () -> watcher.exists("/acls/mark", false) == null);
        }
        Transcript.Client wrong = t.open("wrong");
        wrong.zk.addAuthInfo("digest", Transcript.bytes("super:wrong"));
        t.show("wrong super password", () -> wrong.zk.setData("/acls/perm0", null, -1));
        wrong.zk.close();
    }
}
