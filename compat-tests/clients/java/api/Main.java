import java.util.Arrays;
import java.util.List;

/** Arguments: address, then the names of the sections to run. */
public final class Main {
    private static final List<String> ALL = Arrays.asList(
        "nodes", "paths", "acls", "multi", "watches", "reconnect", "sessions", "quotas", "extras");

    private Main() {
    }

    public static void main(String[] args) throws Exception {
        Transcript t = new Transcript(args[0]);
        List<String> sections = args.length > 1 ? Arrays.asList(args).subList(1, args.length) : ALL;
        for (String section : sections) {
            run(t, section);
        }
        t.say("\nend");
        System.exit(0);
    }

    private static void run(Transcript t, String section) throws Exception {
        switch (section) {
            case "nodes": Nodes.run(t); break;
            case "paths": Paths.run(t); break;
            case "acls": Acls.run(t); break;
            case "multi": Multi.run(t); break;
            case "watches": Watches.run(t); break;
            case "reconnect": Reconnect.run(t); break;
            case "sessions": Sessions.run(t); break;
            case "quotas": Quotas.run(t); break;
            case "lifetimes": Lifetimes.run(t); break;
            case "extras": Extras.run(t); break;
            case "reconfig": Extras.reconfig(t); break;
            default: throw new IllegalArgumentException("no section " + section);
        }
    }
}
