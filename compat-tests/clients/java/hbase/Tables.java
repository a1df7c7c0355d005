import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.ServerName;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.ColumnFamilyDescriptorBuilder;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.RegionInfo;
import org.apache.hadoop.hbase.client.Result;
import org.apache.hadoop.hbase.client.ResultScanner;
import org.apache.hadoop.hbase.client.Scan;
import org.apache.hadoop.hbase.client.Table;
import org.apache.hadoop.hbase.client.TableDescriptorBuilder;
import org.apache.hadoop.hbase.util.Bytes;
import org.apache.hadoop.hbase.zookeeper.ZKDump;
import org.apache.hadoop.hbase.zookeeper.ZKWatcher;

/** What is asked of an HBase cluster. Arguments: the configuration file, a task, and what the task needs. */
public final class Tables {
    private static final TableName NAME = TableName.valueOf("load");
    private static final byte[] FAMILY = Bytes.toBytes("f");
    private static final byte[] COLUMN = Bytes.toBytes("c");

    interface Condition {
        boolean holds() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        Configuration conf = HBaseConfiguration.create();
        conf.addResource(new org.apache.hadoop.fs.Path(args[0]));
        if (args[1].equals("dump")) {
            try (ZKWatcher watcher = new ZKWatcher(conf, "dump", null)) {
                System.out.println(ZKDump.dump(watcher));
            }
            return;
        }
        try (Connection connection = ConnectionFactory.createConnection(conf); Admin admin = connection.getAdmin();
                Table table = connection.getTable(NAME)) {
            switch (args[1]) {
                case "ready" -> until(args[2] + " region servers", () -> admin.getRegionServers().size() == Integer.parseInt(args[2]));
                case "create" -> {
                    admin.createTable(TableDescriptorBuilder.newBuilder(NAME).setColumnFamily(ColumnFamilyDescriptorBuilder.of(FAMILY)).build());
                    until("table " + NAME, () -> admin.isTableAvailable(NAME));
                }
                case "put" -> put(admin, table, Integer.parseInt(args[2]), Integer.parseInt(args[3]));
                case "scan" -> scan(table, Integer.parseInt(args[2]));
                case "split" -> {
                    admin.split(NAME, key(Integer.parseInt(args[2])));
                    until("two regions", () -> admin.getRegions(NAME).size() == 2 && admin.isTableAvailable(NAME));
                }
                case "spread" -> spread(admin);
                case "moved" -> until("all regions on one server", () -> owners(connection).size() == 1);
                case "drop" -> {
                    admin.disableTable(NAME);
                    admin.deleteTable(NAME);
                    System.out.println("dropped: " + !admin.tableExists(NAME));
                }
                default -> throw new IllegalArgumentException(args[1]);
            }
        }
        System.exit(0);
    }

    private static void until(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(90);
        Exception last = null;
        while (System.nanoTime() < deadline) {
            try {
                if (condition.holds()) {
                    System.out.println(what);
                    return;
                }
            } catch (java.io.IOException e) {
                last = e;
            }
            Thread.sleep(200);
        }
        throw new IllegalStateException("never: " + what, last);
    }

    private static byte[] key(int number) {
        return Bytes.toBytes(String.format("row%06d", number));
    }

    private static void put(Admin admin, Table table, int from, int count) throws Exception {
        List<Put> puts = new ArrayList<>();
        for (int i = from; i < from + count; i++) {
            puts.add(new Put(key(i)).addColumn(FAMILY, COLUMN, Bytes.toBytes(i)));
        }
        table.put(puts);
        // A local file system cannot promise that the log of a killed process is whole.
        admin.flush(NAME);
        System.out.println("put " + count + " rows from " + from);
    }

    private static void scan(Table table, int wanted) throws Exception {
        int count = 0;
        try (ResultScanner scanner = table.getScanner(new Scan().setCaching(500))) {
            for (Result row : scanner) {
                if (Bytes.toInt(row.getValue(FAMILY, COLUMN)) != count || !Bytes.equals(row.getRow(), key(count))) {
                    throw new IllegalStateException("row " + count + " is " + row);
                }
                count++;
            }
        }
        System.out.println("scanned " + count + " rows" + (count == wanted ? "" : ", LOST " + (wanted - count)));
    }

    private static java.util.Set<ServerName> owners(Connection connection) throws Exception {
        java.util.Set<ServerName> owners = new java.util.HashSet<>();
        connection.getRegionLocator(NAME).clearRegionLocationCache();
        connection.getRegionLocator(NAME).getAllRegionLocations().forEach(location -> owners.add(location.getServerName()));
        return owners;
    }

    /** One region on each of two servers. */
    private static void spread(Admin admin) throws Exception {
        List<ServerName> servers = new ArrayList<>(admin.getRegionServers());
        List<RegionInfo> regions = admin.getRegions(NAME);
        for (int i = 0; i < regions.size(); i++) {
            admin.move(regions.get(i).getEncodedNameAsBytes(), servers.get(i % servers.size()));
        }
        until("a region on each server", () -> admin.isTableAvailable(NAME)
                && servers.stream().limit(2).allMatch(server -> {
                    try {
                        return admin.getRegions(server).stream().anyMatch(region -> region.getTable().equals(NAME));
                    } catch (java.io.IOException e) {
                        return false;
                    }
                }));
    }
}
