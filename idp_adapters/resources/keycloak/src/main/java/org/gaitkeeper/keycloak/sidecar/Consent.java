package org.gaitkeeper.keycloak.sidecar;

import java.math.BigDecimal;
import java.util.Map;

/**
 * What a person chose, as it is kept in one user attribute: {@code given VERSION EPOCH} or {@code refused VERSION EPOCH}.
 *
 * @param at milliseconds: who changes their mind within a second means the later word
 */
public record Consent(boolean given, String version, long at) {

    /** Read the attribute; null when the person was never asked or what stands there cannot be read. */
    public static Consent read(String text) {
        String[] words = text == null ? new String[0] : text.split(" ");
        if (words.length != 3 || !(words[0].equals("given") || words[0].equals("refused")) || !words[2].matches("\\d{1,12}(\\.\\d{3})?")) {
            return null;
        }
        return new Consent(words[0].equals("given"), words[1], new BigDecimal(words[2]).movePointRight(3).longValueExact());
    }

    public String text() {
        return (given ? "given " : "refused ") + version + " " + BigDecimal.valueOf(at, 3).toPlainString();
    }

    /** The form in which the hook takes it. With its time, so that an answer that arrives late undoes no newer one. */
    public Map<String, Object> told() {
        return Map.of("given", given, "version", version, "answered_at", BigDecimal.valueOf(at, 3));
    }
}
