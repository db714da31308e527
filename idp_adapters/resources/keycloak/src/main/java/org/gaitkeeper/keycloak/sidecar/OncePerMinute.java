package org.gaitkeeper.keycloak.sidecar;

import java.util.HashMap;
import java.util.Map;
import java.util.function.LongSupplier;

/** Lets one line of a kind into the log each minute, with the number of those that it stands for: an outage must not flood it. */
public final class OncePerMinute<K> {
    private static final long MINUTE = 60_000_000_000L;

    private record Said(long at, long since) { }

    private final LongSupplier nanos;
    private final Map<K, Said> said = new HashMap<>();

    public OncePerMinute(LongSupplier nanos) {
        this.nanos = nanos;
    }

    /** Return how many there were since the last line, this one included; 0 when there is nothing to say yet. */
    public synchronized long count(K kind) {
        long now = nanos.getAsLong();
        Said last = said.get(kind);
        if (last != null && now - last.at() < MINUTE) {
            said.put(kind, new Said(last.at(), last.since() + 1));
            return 0;
        }
        said.put(kind, new Said(now, 0));
        return last == null ? 1 : last.since() + 1;
    }
}
