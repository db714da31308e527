package org.gaitkeeper.keycloak.sidecar;

import java.util.Map;

/** What the sidecar answered to one evaluation. */
public record Verdict(Action action, String decisionId, String source, String riskLevel) {
    private static final int LONGEST_ID = 128;

    /**
     * Read the AuthZEN answer to a question. One that contradicts itself is none; nor is one about another person or attempt,
     * which a cache or a mixed-up connection could give.
     */
    public static Verdict read(byte[] body, Question question) throws NoAnswer {
        Map<String, Object> answer;
        try {
            answer = Json.object(body);
        } catch (IllegalArgumentException unreadable) {
            throw new NoAnswer(NoAnswer.Cause.NONSENSE, "not JSON");
        }
        Map<String, Object> context = Json.inside(answer, "context");
        if (!(answer.get("decision") instanceof Boolean decision)) {
            throw new NoAnswer(NoAnswer.Cause.NONSENSE, "no decision");
        }
        if (!question.user().equals(context.get("subject")) || !question.attempt().equals(context.get("attempt"))) {
            throw new NoAnswer(NoAnswer.Cause.NONSENSE, "an answer to another question");
        }
        Object word = context.getOrDefault("action", decision ? "allow" : "deny");
        Action action = Action.of(word);
        if (action == null || decision != (action == Action.ALLOW)) {
            throw new NoAnswer(NoAnswer.Cause.NONSENSE, "decision and action contradict each other");
        }
        return new Verdict(action, id(context.get("decision_id")), word(context.get("source")), word(context.get("risk_level")));
    }

    /** Ids go into a path and into events: only what cannot mean anything else there is taken. A degraded answer has none. */
    private static String id(Object given) throws NoAnswer {
        if (given == null) {
            return null;
        }
        if (given instanceof String id && id.length() <= LONGEST_ID && id.matches("[A-Za-z0-9_-]+")) {
            return id;
        }
        throw new NoAnswer(NoAnswer.Cause.NONSENSE, "unusable decision id");
    }

    private static String word(Object given) {
        return given instanceof String word && word.matches("[a-z_]{1,32}") ? word : "unknown";
    }
}
