import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Every recipe of Curator once. Arguments: the server's address, then the sections to run (all if none). */
public final class Main {
    interface Section {
        void run(Transcript t) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        Map<String, Section> sections = new LinkedHashMap<>();
        sections.put("framework", Framework::run);
        sections.put("locks", Locks::run);
        sections.put("barriers", Barriers::run);
        sections.put("elections", Elections::run);
        sections.put("queues", Queues::run);
        sections.put("caches", Caches::run);
        sections.put("counters", Counters::run);
        sections.put("nodes", Nodes::run);
        sections.put("discovery", Discovery::run);
        sections.put("lost", Lost::run);
        sections.put("secured", Secured::run);
        List<String> chosen = Arrays.asList(args).subList(1, args.length);
        for (Map.Entry<String, Section> entry : sections.entrySet()) {
            if (chosen.isEmpty() || chosen.contains(entry.getKey())) {
                Transcript t = new Transcript(args[0]);
                t.say("\n## " + entry.getKey());
                entry.getValue().run(t);
                t.closeAll();
            }
        }
        System.exit(0);
    }
}
