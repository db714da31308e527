package org.gaitkeeper.keycloak.sidecar;

/** The sidecar gave no usable answer in time. What that means for a login is the client's fail mode. */
public final class NoAnswer extends Exception {
    private static final long serialVersionUID = 1L;

    /**
     * Why there is no answer; the names appear in logs, events and counts. {@code BAD_REQUEST} is a refusal of this one request:
     * whoever sends nonsense from a browser must not make the sidecar look broken for everybody.
     */
    public enum Cause {
        NOT_CONFIGURED(false), TOO_MANY_CALLS(false), BREAKER_OPEN(false), BAD_REQUEST(false),
        TIMEOUT(true), UNREACHABLE(true), REFUSED(true), NONSENSE(true);

        private final boolean failure;

        Cause(boolean failure) {
            this.failure = failure;
        }

        /** Whether it says that the sidecar does not work. */
        boolean isFailure() {
            return failure;
        }

        static Cause ofStatus(int status) {
            return switch (status) {
                case 401, 403, 404, 408, 425, 429 -> REFUSED;
                default -> status >= 400 && status < 500 ? BAD_REQUEST : REFUSED;
            };
        }
    }

    private final Cause cause;

    public NoAnswer(Cause cause, String detail) {
        super(cause + ": " + detail, null, false, false); // expected in operation: no stack trace
        this.cause = cause;
    }

    public Cause why() {
        return cause;
    }
}
