import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.IntegerDeserializer;
import org.apache.kafka.common.serialization.IntegerSerializer;

/**
 * What is asked of a Kafka cluster. Arguments: the brokers, a task, and what the task needs.
 * Records are numbers, so that a lost one can be named.
 */
public final class Load {
    private static final int LIMIT_S = 90;

    interface Condition {
        boolean holds() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        String brokers = args[0];
        switch (args[1]) {
            case "produce" -> produce(brokers, args[2], Integer.parseInt(args[3]), Integer.parseInt(args[4]), Path.of(args[5]));
            case "consume" -> consume(brokers, args[2], Path.of(args[3]));
            default -> administer(brokers, args);
        }
        System.exit(0);
    }

    private static void administer(String brokers, String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers, "default.api.timeout.ms", "60000"))) {
            switch (args[1]) {
                case "create" -> create(admin, args[2], Integer.parseInt(args[3]), Short.parseShort(args[4]));
                case "grow" -> {
                    admin.createPartitions(Map.of(args[2], NewPartitions.increaseTo(Integer.parseInt(args[3])))).all().get();
                    until("partitions " + args[3], () -> describe(admin, args[2]).partitions().size() == Integer.parseInt(args[3]));
                }
                case "delete" -> {
                    admin.deleteTopics(Set.of(args[2])).all().get();
                    until("deleted " + args[2], () -> !admin.listTopics().names().get().contains(args[2]));
                }
                case "configure" -> configure(admin, args[2], args[3], args[4]);
                case "acl" -> acl(admin, args[2]);
                case "whole" -> until("all replicas in sync", () -> describe(admin, args[2]).partitions().stream()
                        .allMatch(p -> p.leader() != null && p.isr().size() == p.replicas().size()));
                default -> throw new IllegalArgumentException(args[1]);
            }
        }
    }

    private static TopicDescription describe(Admin admin, String topic) throws Exception {
        return admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic);
    }

    /** Waits until something holds, through errors that pass. */
    private static void until(String what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
        Exception last = null;
        while (System.nanoTime() < deadline) {
            try {
                if (condition.holds()) {
                    System.out.println(what);
                    return;
                }
            } catch (ExecutionException e) {
                last = e;
            }
            Thread.sleep(200);
        }
        throw new IllegalStateException("never: " + what, last);
    }

    private static void create(Admin admin, String topic, int partitions, short replicas) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, replicas))).all().get();
        until("topic " + topic + " with " + partitions + " partitions",
                () -> describe(admin, topic).partitions().stream().allMatch(p -> p.isr().size() == replicas));
    }

    private static void configure(Admin admin, String topic, String key, String value) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp op = new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
        until(topic + " has " + key + "=" + value,
                () -> admin.describeConfigs(List.of(resource)).all().get().get(resource).get(key).value().equals(value));
    }

    private static void acl(Admin admin, String topic) throws Exception {
        ResourcePattern pattern = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
        AccessControlEntry entry = new AccessControlEntry("User:reader", "*", AclOperation.READ, AclPermissionType.ALLOW);
        AclBinding binding = new AclBinding(pattern, entry);
        admin.createAcls(List.of(binding)).all().get();
        until("acl " + entry, () -> admin.describeAcls(AclBindingFilter.ANY).values().get().contains(binding));
    }

    /**
     * Sends numbers from 0, some each second, and writes down those that were acknowledged. Ends before all are sent
     * when a file appears whose name is that of the notes and ".over".
     */
    private static void produce(String brokers, String topic, int count, int perSecond, Path acknowledged) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "acks", "all", "enable.idempotence", "true",
                "delivery.timeout.ms", "150000", "request.timeout.ms", "5000", "linger.ms", "5", "max.block.ms", "100000");
        Path over = Path.of(acknowledged + ".over");
        Semaphore answered = new Semaphore(0);
        int[] failures = new int[1];
        int sent = 0;
        try (PrintStream out = new PrintStream(Files.newOutputStream(acknowledged), true);
                KafkaProducer<Integer, Integer> producer =
                        new KafkaProducer<>(config, new IntegerSerializer(), new IntegerSerializer())) {
            while (sent < count && !Files.exists(over)) {
                int number = sent++;
                producer.send(new ProducerRecord<>(topic, number, number), (where, error) -> {
                    if (error == null) {
                        out.println(number);
                    } else {
                        failures[0]++;
                        System.err.println(number + " was not acknowledged: " + error);
                    }
                    answered.release();
                });
                if (perSecond > 0) {
                    Thread.sleep(Math.max(1, 1000 / perSecond));
                }
            }
            if (!answered.tryAcquire(sent, LIMIT_S * 2, TimeUnit.SECONDS)) {
                throw new IllegalStateException((sent - answered.availablePermits()) + " sends have no answer");
            }
        }
        System.out.println((sent - failures[0]) + " acknowledged, " + failures[0] + " failed");
    }

    /** Reads a topic from its start, and tells which acknowledged numbers are missing or came twice. */
    private static void consume(String brokers, String topic, Path acknowledged) throws Exception {
        BitSet wanted = new BitSet();
        Files.readAllLines(acknowledged).forEach(line -> wanted.set(Integer.parseInt(line)));
        int acknowledgedCount = wanted.cardinality();
        BitSet seen = new BitSet();
        int twice = 0;
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "group.id", "jury", "auto.offset.reset", "earliest");
        try (KafkaConsumer<Integer, Integer> consumer =
                new KafkaConsumer<>(config, new IntegerDeserializer(), new IntegerDeserializer())) {
            consumer.subscribe(List.of(topic));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
            while (!wanted.isEmpty() && System.nanoTime() < deadline) {
                for (ConsumerRecord<Integer, Integer> record : consumer.poll(Duration.ofMillis(500))) {
                    twice += seen.get(record.value()) ? 1 : 0;
                    seen.set(record.value());
                    wanted.clear(record.value());
                }
            }
            consumer.commitSync();
        }
        String missing = Optional.of(wanted).filter(set -> !set.isEmpty()).map(set -> " lost: " + set).orElse("");
        System.out.println("of " + acknowledgedCount + " acknowledged, " + wanted.cardinality() + " missing, " + twice + " twice" + missing);
    }
}
