import java.util.Collection;
import java.util.Set;
import java.util.TreeSet;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;

/** Services that register, are found and go. */
final class Discovery {
    private static ServiceInstance<Void> instance(int port, ServiceType type) throws Exception {
        return ServiceInstance.<Void>builder().name("shop").id("shop" + port).address("host").port(port)
                .registrationTimeUTC(1).serviceType(type).build();
    }

    private static ServiceDiscovery<Void> discovery(CuratorFramework c) throws Exception {
        ServiceDiscovery<Void> discovery = ServiceDiscoveryBuilder.builder(Void.class).client(c).basePath("/discovery").build();
        discovery.start();
        return discovery;
    }

    static void run(Transcript t) throws Exception {
        CuratorFramework a = t.client();
        CuratorFramework b = t.client();
        ServiceDiscovery<Void> offers = discovery(a);
        ServiceDiscovery<Void> seeks = discovery(b);
        offers.registerService(instance(1, ServiceType.DYNAMIC));
        offers.registerService(instance(2, ServiceType.DYNAMIC));
        offers.registerService(instance(3, ServiceType.STATIC));
        t.show("names", seeks::queryForNames);
        t.show("instances", () -> ids(seeks.queryForInstances("shop")));
        t.show("one", () -> seeks.queryForInstance("shop", "shop2").getPort());
        t.show("none", () -> seeks.queryForInstance("shop", "shop9"));
        t.show("no service", () -> seeks.queryForInstances("bar"));
        t.tree(b, "/discovery");
        ServiceCache<Void> cache = seeks.serviceCacheBuilder().name("shop").build();
        cache.start();
        ServiceProvider<Void> provider = seeks.serviceProviderBuilder().serviceName("shop")
                .providerStrategy(new RoundRobinStrategy<>()).build();
        provider.start();
        Set<Integer> served = new TreeSet<>();
        for (int i = 0; i < 6; i++) {
            served.add(provider.getInstance().getPort());
        }
        t.say("provided: " + served);
        offers.unregisterService(instance(2, ServiceType.DYNAMIC));
        t.until("cache: one fewer", () -> cache.getInstances().size() == 2);
        ServiceInstance<Void> moved = ServiceInstance.<Void>builder().name("shop").id("shop1").address("host").port(11)
                .registrationTimeUTC(1).build();
        offers.updateService(moved);
        t.until("cache: a new port", () -> cache.getInstances().stream().anyMatch(i -> i.getPort() == 11));
        t.say("cache: " + ids(cache.getInstances()));
        // Closing the session takes dynamic instances away and leaves static ones.
        a.close();
        t.until("cache: only the static one", () -> ids(cache.getInstances()).toString().equals("[shop3]"));
        provider.close();
        cache.close();
        seeks.close();
    }

    private static Set<String> ids(Collection<ServiceInstance<Void>> list) {
        Set<String> ids = new TreeSet<>();
        list.forEach(instance -> ids.add(instance.getId()));
        return ids;
    }
}
