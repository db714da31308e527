package org.gaitkeeper.keycloak.sidecar;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.junit.jupiter.api.Test;

class TimingsTest {

    @Test
    void theNewestAreDescribedByTheNearestRank() {
        Timings timings = new Timings(100);
        assertEquals(Map.of("count", 0L), timings.told());
        timings.add(7_000);
        assertEquals(Map.of("count", 1L, "newest_us", 7L, "p50_us", 7L, "p95_us", 7L, "p99_us", 7L, "max_us", 7L), timings.told());
        for (int i = 100; i >= 1; i--) {
            timings.add(i * 1_000_000L);
        }
        assertEquals(Map.of("count", 101L, "newest_us", 1_000L, "p50_us", 50_000L, "p95_us", 95_000L, "p99_us", 99_000L, "max_us", 100_000L), timings.told());
    }
}
