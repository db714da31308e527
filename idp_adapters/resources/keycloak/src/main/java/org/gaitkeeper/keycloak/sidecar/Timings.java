package org.gaitkeeper.keycloak.sidecar;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/** How long the newest logins spent in our execution, whatever came of them: what an administrator wants to know of a plugin. */
public final class Timings {
    private final long[] newest;
    private long count;

    public Timings(int kept) {
        newest = new long[kept];
    }

    public synchronized void add(long nanos) {
        newest[(int) (count++ % newest.length)] = nanos;
    }

    /** Return {@code count} since the start, and p50, p95, p99 and max of those kept, and the newest, in microseconds (absent before the first). */
    public Map<String, Long> told() {
        long[] sorted;
        Map<String, Long> told = new TreeMap<>();
        synchronized (this) {
            told.put("count", count);
            if (count > 0) {
                told.put("newest_us", newest[(int) ((count - 1) % newest.length)] / 1000);
            }
            sorted = Arrays.copyOf(newest, (int) Math.min(count, newest.length));
        }
        Arrays.sort(sorted);
        if (sorted.length > 0) {
            told.put("p50_us", at(sorted, 50));
            told.put("p95_us", at(sorted, 95));
            told.put("p99_us", at(sorted, 99));
            told.put("max_us", at(sorted, 100));
        }
        return told;
    }

    /** The nearest rank: the smallest value that {@code percent} of all do not exceed. */
    private static long at(long[] sorted, int percent) {
        return sorted[Math.max(0, (sorted.length * percent + 99) / 100 - 1)] / 1000;
    }
}
