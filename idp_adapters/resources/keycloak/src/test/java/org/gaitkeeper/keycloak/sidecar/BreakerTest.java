package org.gaitkeeper.keycloak.sidecar;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class BreakerTest {
    private final AtomicLong now = new AtomicLong();
    private final Breaker breaker = new Breaker(3, 10, now::get);

    @Test
    void threeFailuresInARowOpenItAndOneProbeClosesIt() {
        assertFalse(breaker.failed());
        assertFalse(breaker.failed());
        breaker.succeeded();
        assertFalse(breaker.failed());
        assertFalse(breaker.failed());
        assertTrue(breaker.permits());
        assertTrue(breaker.failed());
        assertFalse(breaker.permits());
        now.set(10);
        assertTrue(breaker.permits());
        assertFalse(breaker.permits());
        assertFalse(breaker.failed());
        assertFalse(breaker.permits());
        now.set(20);
        assertTrue(breaker.permits());
        assertTrue(breaker.succeeded());
        assertTrue(breaker.permits());
        assertTrue(breaker.permits());
    }

    @Test
    void aProbeThatWasNeverSentLetsTheNextOneProbe() {
        for (int i = 0; i < 3; i++) {
            breaker.failed();
        }
        now.set(10);
        assertTrue(breaker.permits());
        breaker.unknown();
        assertTrue(breaker.permits());
    }
}
