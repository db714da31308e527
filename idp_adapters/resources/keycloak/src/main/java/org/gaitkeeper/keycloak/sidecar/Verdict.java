package org.gaitkeeper.keycloak.sidecar;

import java.util.Map;

/**
 * What the sidecar answered to one evaluation.
 *
 * @param unmet whether a second factor was wanted of somebody who has none
 * @param device the cookie to be set in the browser, null for none
 */
public record Verdict(Action action, String decisionId, String source, String riskLevel, boolean unmet, Device device) {
    private static final int LONGEST_ID = 128;
    private static final int LONGEST_DEVICE = 1024;
    private static final int LONGEST_AGE = 400 * 86_400;

    /** The cookie by which the sidecar knows a browser again. */
    public record Device(String value, int seconds) { }

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
        if (!question.subject().id().equals(context.get("subject")) || !question.attempt().id().equals(context.get("attempt"))) {
            throw new NoAnswer(NoAnswer.Cause.NONSENSE, "an answer to another question");
        }
        Object word = context.getOrDefault("action", decision ? "allow" : "deny");
        Action action = Action.of(word);
        if (action == null || decision != (action == Action.ALLOW)) {
            throw new NoAnswer(NoAnswer.Cause.NONSENSE, "decision and action contradict each other");
        }
        return new Verdict(action, id(context.get("decision_id")), word(context.get("source")), word(context.get("risk_level")),
            Boolean.TRUE.equals(context.get("unmet")), device(Json.inside(context, "device_cookie")));
    }

    /** A value goes into a header, so only what cannot mean anything else there is taken; without a cookie the login goes on. */
    private static Device device(Map<String, Object> cookie) {
        boolean usable = cookie.get("value") instanceof String text && isDevice(text)
            && cookie.get("max_age") instanceof Integer age && age > 0 && age <= LONGEST_AGE;
        return usable ? new Device((String) cookie.get("value"), (Integer) cookie.get("max_age")) : null;
    }

    /** Whether a text has the form of the sidecar's cookie. */
    public static boolean isDevice(String text) {
        return text != null && text.length() <= LONGEST_DEVICE && text.matches("[A-Za-z0-9._~-]+");
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
