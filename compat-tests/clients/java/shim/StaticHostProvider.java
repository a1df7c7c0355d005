package org.apache.zookeeper.client;

import java.net.InetSocketAddress;
import java.util.Collection;

/**
 * Stands in for the 3.4 client's class of this name, which cannot read what newer Javas print for
 * an unresolved address. Nothing that goes over the wire is touched.
 */
public final class StaticHostProvider implements HostProvider {
    private final InetSocketAddress[] servers;
    private int next;

    public StaticHostProvider(Collection<InetSocketAddress> addresses) {
        servers = addresses.toArray(new InetSocketAddress[0]);
    }

    @Override
    public int size() {
        return servers.length;
    }

    @Override
    public InetSocketAddress next(long spinDelay) {
        if (next >= servers.length && spinDelay > 0) {
            try {
                Thread.sleep(spinDelay);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        InetSocketAddress server = servers[next++ % servers.length];
        return new InetSocketAddress(server.getHostString(), server.getPort());
    }

    @Override
    public void onConnected() {
        next = 0;
    }
}
