import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.solr.client.solrj.SolrQuery;
import org.apache.solr.client.solrj.SolrRequest;
import org.apache.solr.client.solrj.impl.CloudSolrClient;
import org.apache.solr.client.solrj.request.CollectionAdminRequest;
import org.apache.solr.client.solrj.request.GenericSolrRequest;
import org.apache.solr.common.SolrDocument;
import org.apache.solr.common.SolrInputDocument;
import org.apache.solr.common.cloud.DocCollection;
import org.apache.solr.common.cloud.Replica;
import org.apache.solr.common.cloud.Slice;
import org.apache.solr.common.cloud.SolrZkClient;
import org.apache.solr.common.cloud.ZkMaintenanceUtils;
import org.apache.solr.common.params.ModifiableSolrParams;
import org.apache.solr.common.util.NamedList;

/** One task at a time against a Solr cluster. Arguments: where ZooKeeper is, the task, the task's own. */
public class Books {
    static final long LIMIT_MS = 90_000;
    static final String COLLECTION = "books";

    static CloudSolrClient solr;

    /** Tries until there is an answer: what is asked may not have come about yet. */
    static <T> T until(String what, Callable<T> question) throws Exception {
        long deadline = System.currentTimeMillis() + LIMIT_MS;
        Exception last = null;
        while (System.currentTimeMillis() < deadline) {
            try {
                T answer = question.call();
                if (answer != null) return answer;
            } catch (Exception e) {
                last = e;
            }
            Thread.sleep(100);
        }
        throw new IllegalStateException("still not: " + what, last);
    }

    static DocCollection collection() throws Exception {
        return solr.getClusterStateProvider().getCollection(COLLECTION);
    }

    /** Waits until every replica on a live node is active and each shard is led, with so many live nodes. */
    static void ready(int nodes) throws Exception {
        until(nodes + " nodes, their replicas active", () -> {
            Set<String> live = solr.getClusterStateProvider().getLiveNodes();
            if (live.size() != nodes) return null;
            for (Slice slice : collection().getSlices()) {
                Replica leader = slice.getLeader();
                if (leader == null || !live.contains(leader.getNodeName())) return null;
                for (Replica replica : slice.getReplicas()) {
                    if (live.contains(replica.getNodeName()) && replica.getState() != Replica.State.ACTIVE) return null;
                }
            }
            return true;
        });
        System.out.println(nodes + " nodes: every shard has a leader, every replica there is active");
    }

    static void upload(String zookeeper, Path config) throws Exception {
        try (SolrZkClient zk = new SolrZkClient.Builder().withUrl(zookeeper).withTimeout(15000, TimeUnit.MILLISECONDS).build()) {
            ZkMaintenanceUtils.uploadToZK(zk, config, "/configs/conf", null);
            System.out.println("configurations " + zk.getChildren("/configs", null, true));
        }
    }

    static void create() throws Exception {
        var request = CollectionAdminRequest.createCollection(COLLECTION, "conf", 2, 2).setPerReplicaState(true);
        System.out.println("created: " + request.process(solr).isSuccess());
        DocCollection made = until("the collection", Books::collection);
        System.out.println("shards " + made.getSlices().size() + " per replica " + made.isPerReplicaState());
        ready(2);
    }

    static void add(int number) throws Exception {
        SolrInputDocument document = new SolrInputDocument();
        document.addField("id", Integer.toString(number));
        document.addField("number", number);
        solr.add(COLLECTION, document);
    }

    /** Adds documents until each is acknowledged; what is, is written down at once. */
    static void produce(int first, int count, int pauseMs, Path acknowledged) throws Exception {
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(acknowledged), true)) {
            for (int number = first; number < first + count; number++) {
                int next = number;
                until("document " + number, () -> { add(next); return true; });
                out.println(number);
                Thread.sleep(pauseMs);
            }
        }
        System.out.println("acknowledged " + count);
    }

    static void check(Path acknowledged) throws Exception {
        Set<String> expected = new HashSet<>(Files.readAllLines(acknowledged));
        until("a commit", () -> solr.commit(COLLECTION));
        Set<String> found = new HashSet<>();
        var query = new SolrQuery("*:*").setRows(100_000).setFields("id");
        for (SolrDocument document : until("an answer", () -> solr.query(COLLECTION, query)).getResults()) {
            found.add((String) document.get("id"));
        }
        int all = expected.size();
        expected.removeAll(found);
        System.out.println(all + " acknowledged, " + expected.size() + " missing");
    }

    /** What Solr's own page about ZooKeeper shows. */
    static void status() throws Exception {
        var request = new GenericSolrRequest(SolrRequest.METHOD.GET, "/admin/zookeeper/status", new ModifiableSolrParams());
        request.setRequiresCollection(false);
        NamedList<Object> answer = solr.request(request);
        Map<?, ?> status = (Map<?, ?>) answer.get("zkStatus");
        for (String key : List.of("status", "mode", "ensembleSize", "dynamicReconfig", "errors")) {
            System.out.println("status page: " + key + " " + status.get(key));
        }
        Map<?, ?> details = (Map<?, ?>) ((List<?>) status.get("details")).get(0);
        for (String key : List.of("ok", "zk_server_state", "tickTime")) {
            System.out.println("status page: " + key + " " + details.get(key));
        }
    }

    /** An alias, a property of the collection that every node watches, a reload, a replica more and less. */
    static void manage() throws Exception {
        CollectionAdminRequest.createAlias("works", COLLECTION).process(solr);
        until("the alias", () -> solr.getClusterStateProvider().resolveAlias("works").equals(List.of(COLLECTION)) ? true : null);
        System.out.println("alias resolves");
        CollectionAdminRequest.setCollectionProperty(COLLECTION, "shelf", "7").process(solr);
        System.out.println("property set");
        // A reload of replicas that keep their own state brings no list of successes, only a status.
        System.out.println("reloaded: " + CollectionAdminRequest.reloadCollection(COLLECTION).process(solr).getStatus());
        String shard = collection().getSlices().iterator().next().getName();
        System.out.println("replica added: " + CollectionAdminRequest.addReplicaToShard(COLLECTION, shard).process(solr).isSuccess());
        ready(2);
        Replica extra = null;
        for (Replica replica : collection().getSlice(shard).getReplicas()) {
            if (!replica.isLeader()) extra = replica;
        }
        System.out.println("replica removed: " + CollectionAdminRequest.deleteReplica(COLLECTION, shard, extra.getName()).process(solr).isSuccess());
        TreeMap<String, Integer> replicas = new TreeMap<>();
        for (Slice slice : collection().getSlices()) replicas.put(slice.getName(), slice.getReplicas().size());
        System.out.println("replicas " + replicas);
    }

    static void delete() throws Exception {
        CollectionAdminRequest.deleteAlias("works").process(solr);
        System.out.println("deleted: " + CollectionAdminRequest.deleteCollection(COLLECTION).process(solr).isSuccess());
    }

    public static void main(String[] args) throws Exception {
        int chroot = args[0].indexOf('/');
        solr = new CloudSolrClient.Builder(List.of(args[0].substring(0, chroot)), Optional.of(args[0].substring(chroot))).build();
        switch (args[1]) {
            case "upload" -> upload(args[0], Path.of(args[2]));
            case "create" -> create();
            case "ready" -> ready(Integer.parseInt(args[2]));
            case "produce" -> produce(Integer.parseInt(args[2]), Integer.parseInt(args[3]), Integer.parseInt(args[4]), Path.of(args[5]));
            case "check" -> check(Path.of(args[2]));
            case "status" -> status();
            case "manage" -> manage();
            case "delete" -> delete();
            default -> throw new IllegalArgumentException(args[1]);
        }
        System.exit(0);
    }
}
