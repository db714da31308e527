package org.gaitkeeper.keycloak.sidecar;

/** The sidecar gave no usable answer in time. What that means for a login is the client's fail mode. */
public final class NoAnswer extends Exception {
    private static final long serialVersionUID = 1L;

    /** Why there is no answer; the names appear in logs, events and counts. */
    public enum Cause { NOT_CONFIGURED, TOO_MANY_CALLS, BREAKER_OPEN, TIMEOUT, UNREACHABLE, REFUSED, NONSENSE }

    private final Cause cause;

    public NoAnswer(Cause cause, String detail) {
        super(cause + ": " + detail, null, false, false); // expected in operation: no stack trace
        this.cause = cause;
    }

    public Cause why() {
        return cause;
    }
}
