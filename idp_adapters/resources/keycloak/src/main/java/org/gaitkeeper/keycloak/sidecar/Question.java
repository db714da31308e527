package org.gaitkeeper.keycloak.sidecar;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The AuthZEN request about one login. Values that are null are left out.
 *
 * @param captures the hidden fields as they came, one a page, oldest first
 * @param consent null while the person has not chosen
 */
public record Question(
    String action, String user, String name, String client, String attempt, Long startedAt, List<String> captures,
    String sid, Consent consent, boolean secondFactor, boolean privacyControl) {
    public static final int LONGEST_CAPTURE = 64 * 1024;
    public static final int MOST_CAPTURES = 4;

    public Map<String, Object> body() {
        Map<String, Object> context = new LinkedHashMap<>();
        put(context, "attempt", attempt);
        put(context, "attempt_started_at", startedAt);
        put(context, "capture", captures.isEmpty() ? null : captures);
        put(context, "sid", sid);
        put(context, "consent", consent == null ? null : consent.told());
        context.put("second_factor", secondFactor);
        context.put("gpc", privacyControl);
        Map<String, Object> subject = new LinkedHashMap<>();
        subject.put("type", "user");
        subject.put("id", user);
        subject.put("properties", Map.of("name", name));
        return Map.of(
            "subject", subject,
            "action", Map.of("name", action),
            "resource", Map.of("type", "client", "id", client),
            "context", context);
    }

    /** Whether a hidden field may go along; its content is the sidecar's business alone. */
    public static boolean isUsable(String capture) {
        return capture != null && !capture.isEmpty() && capture.length() <= LONGEST_CAPTURE;
    }

    private static void put(Map<String, Object> into, String name, Object value) {
        if (value != null) {
            into.put(name, value);
        }
    }
}
