package org.gaitkeeper.keycloak.sidecar;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The AuthZEN request about one login. Values that are null are left out.
 *
 * @param action {@code login}, or {@code session_check} for a running session
 * @param consent null while the person has not chosen
 * @param withoutSecondFactor what a challenge becomes for somebody who has no second factor
 */
public record Question(
    String action, Subject subject, String client, Attempt attempt, Consent consent, boolean secondFactor, Action withoutSecondFactor,
    Surroundings surroundings) {
    private static final int LONGEST_AGENT = 1024;

    /** Whom it is about. {@code roles} and {@code groups} are null where there are too many to send: a part of them would mislead. */
    public record Subject(String id, String name, String realm, List<String> roles, List<String> groups) {
        Map<String, Object> told() {
            Map<String, Object> properties = new LinkedHashMap<>();
            put(properties, "name", name);
            put(properties, "realm", realm);
            put(properties, "roles", roles);
            put(properties, "groups", groups);
            return Map.of("type", "user", "id", id, "properties", properties);
        }
    }

    /**
     * Which login it is.
     *
     * @param captures the hidden fields as they came, one a page, oldest first
     * @param sessionStartedAt when the running session began, null for a login
     */
    public record Attempt(String id, Long startedAt, List<String> captures, String sid, Long sessionStartedAt) { }

    /** Where it comes from. {@code device}: the sidecar's cookie, as the browser sent it. */
    public record Surroundings(String ip, String userAgent, String device, boolean privacyControl) { }

    public Map<String, Object> body() {
        Map<String, Object> context = new LinkedHashMap<>();
        put(context, "attempt", attempt.id());
        put(context, "attempt_started_at", attempt.startedAt());
        put(context, "capture", attempt.captures().isEmpty() ? null : attempt.captures());
        put(context, "sid", attempt.sid());
        put(context, "session_started_at", attempt.sessionStartedAt());
        put(context, "consent", consent == null ? null : consent.told());
        context.put("second_factor", secondFactor);
        context.put("without_second_factor", withoutSecondFactor.word());
        context.put("gpc", surroundings.privacyControl());
        put(context, "ip", surroundings.ip());
        put(context, "user_agent", cut(surroundings.userAgent()));
        put(context, "device", surroundings.device());
        return Map.of(
            "subject", subject.told(),
            "action", Map.of("name", action),
            "resource", Map.of("type", "client", "id", client),
            "context", context);
    }

    private static String cut(String agent) {
        return agent == null || agent.length() <= LONGEST_AGENT ? agent : agent.substring(0, LONGEST_AGENT);
    }

    private static void put(Map<String, Object> into, String name, Object value) {
        if (value != null) {
            into.put(name, value);
        }
    }
}
