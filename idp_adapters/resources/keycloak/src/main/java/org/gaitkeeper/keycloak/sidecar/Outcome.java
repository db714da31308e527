package org.gaitkeeper.keycloak.sidecar;

/**
 * What a login gets after the sidecar's word, or its silence, met the client's settings.
 *
 * @param source {@code scored} or {@code degraded}, as the sidecar said, {@code session}, or {@code unreachable}
 * @param unmet whether the typing was another person's, and there was no second factor to ask for
 */
public record Outcome(Action action, String decisionId, String source, String riskLevel, boolean unmet) {

    /** What a client wants for its logins where the sidecar or the user cannot do what is needed. */
    public record Wishes(Action withoutAnswer, Action withoutSecondFactor) {

        /** An unknown word is the strictest one: a typing error must not open a door. */
        public static Wishes of(String failMode, String withoutSecondFactor) {
            Action silent = switch (failMode == null ? "challenge" : failMode) {
                case "open" -> Action.ALLOW;
                case "challenge" -> Action.STEP_UP;
                default -> Action.DENY;
            };
            boolean allow = withoutSecondFactor == null || withoutSecondFactor.equals("allow");
            return new Wishes(silent, allow ? Action.ALLOW : Action.DENY);
        }
    }

    /** What is known of the person: whether a second factor could be asked for, and whether behaviour may be looked at. */
    public record Person(boolean secondFactor, boolean consented) { }

    public static Outcome of(Verdict verdict, Wishes wishes, Person person) {
        Action action = possible(verdict.action(), wishes, person);
        boolean unmet = verdict.unmet() && verdict.riskLevel().equals("high");
        return new Outcome(action, verdict.decisionId(), verdict.source(), verdict.riskLevel(), unmet);
    }

    public static Outcome unanswered(Wishes wishes, Person person) {
        return new Outcome(possible(wishes.withoutAnswer(), wishes, person), null, "unreachable", "unknown", false);
    }

    /** The same, denied. */
    public Outcome denied() {
        return new Outcome(Action.DENY, decisionId, source, riskLevel, unmet);
    }

    /** Nobody is asked for a factor they do not have; and who only withheld consent is never locked out for it. */
    private static Action possible(Action action, Wishes wishes, Person person) {
        if (action != Action.STEP_UP || person.secondFactor()) {
            return action;
        }
        return person.consented() ? wishes.withoutSecondFactor() : Action.ALLOW;
    }
}
