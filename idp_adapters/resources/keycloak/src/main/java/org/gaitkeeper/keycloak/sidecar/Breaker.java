package org.gaitkeeper.keycloak.sidecar;

import java.util.function.LongSupplier;

/**
 * Stops asking a sidecar that does not answer, so that an outage costs a few logins a deadline each and not all of them.
 *
 * <p>After {@code failures} in a row nobody is let through for {@code pauseNanos}; then one call at a time probes.
 */
public final class Breaker {
    private final int failures;
    private final long pauseNanos;
    private final LongSupplier nanos;
    private int inARow;
    private long closedUntil;
    private boolean probing;

    public Breaker(int failures, long pauseNanos, LongSupplier nanos) {
        this.failures = failures;
        this.pauseNanos = pauseNanos;
        this.nanos = nanos;
    }

    /** Whether a call may be made now. Who got true must report {@link #succeeded()}, {@link #failed()} or {@link #unknown()}. */
    public synchronized boolean permits() {
        if (inARow < failures) {
            return true;
        }
        if (probing || nanos.getAsLong() - closedUntil < 0) {
            return false;
        }
        probing = true;
        return true;
    }

    /** Return whether this success ended an outage. */
    public synchronized boolean succeeded() {
        boolean ended = inARow >= failures;
        inARow = 0;
        probing = false;
        return ended;
    }

    /** Return whether this failure began an outage. */
    public synchronized boolean failed() {
        boolean began = inARow == failures - 1;
        inARow = Math.min(inARow + 1, failures);
        if (inARow == failures) {
            closedUntil = nanos.getAsLong() + pauseNanos;
        }
        probing = false;
        return began;
    }

    /** The call was never made: nothing was learned of the sidecar. */
    public synchronized void unknown() {
        probing = false;
    }
}
