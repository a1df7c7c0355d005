import java.util.Properties;
import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/** One Solr node. Arguments: its home, its port, where ZooKeeper is. Runs until it is killed. */
public class Node {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("zkHost", args[2]);
        System.setProperty("zkHost", args[2]);
        JettyConfig config = JettyConfig.builder().setPort(Integer.parseInt(args[1])).setContext("/solr").build();
        JettySolrRunner runner = new JettySolrRunner(args[0], properties, config);
        runner.start();
        System.out.println("started " + runner.getNodeName());
        Thread.currentThread().join();
    }
}
