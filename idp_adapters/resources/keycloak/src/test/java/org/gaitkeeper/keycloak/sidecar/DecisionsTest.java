package org.gaitkeeper.keycloak.sidecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.Outcome.Person;
import org.gaitkeeper.keycloak.sidecar.Outcome.Wishes;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class DecisionsTest {
    private static final Question QUESTION =
        new Question("login", "u", "ann", "app", "attempt-1", null, List.of(), "sid", null, true, false);
    private static final String WHO = "\"subject\":\"u\",\"attempt\":\"attempt-1\"";

    private static Verdict read(String text) throws NoAnswer {
        return Verdict.read(text.getBytes(StandardCharsets.UTF_8), QUESTION);
    }

    @Test
    void anAnswerIsRead() throws NoAnswer {
        Verdict verdict = read("{\"decision\":false,\"context\":{" + WHO + ",\"action\":\"step_up\",\"decision_id\":\"rja_-1\",\"source\":\"scored\",\"risk_level\":\"high\"}}");
        assertEquals(new Verdict(Action.STEP_UP, "rja_-1", "scored", "high"), verdict);
        assertEquals(new Verdict(Action.DENY, null, "unknown", "unknown"), read("{\"decision\":false,\"context\":{" + WHO + "}}"));
        assertEquals("unknown", read("{\"decision\":true,\"context\":{" + WHO + ",\"decision_id\":null,\"source\":\"<b>\"}}").source());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "\"subject\":\"another\",\"attempt\":\"attempt-1\"", "\"subject\":\"u\",\"attempt\":\"attempt-2\"", "\"subject\":\"u\"", "",
        "\"subject\":\"u\",\"attempt\":\"attempt-1\",\"decision_id\":\"../x\"", "\"subject\":\"u\",\"attempt\":\"attempt-1\",\"decision_id\":7"
    })
    void anAnswerToAnotherQuestionIsNone(String context) {
        String text = "{\"decision\":true,\"context\":{" + context + "}}";
        assertEquals(NoAnswer.Cause.NONSENSE, assertThrows(NoAnswer.class, () -> read(text)).why());
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "[]", "null", "{}", "{\"decision\":\"true\"}", "{\"decision\":true,\"context\":{\"subject\":\"u\",\"attempt\":\"attempt-1\",\"action\":\"step_up\"}}",
        "{\"decision\":false,\"context\":{\"subject\":\"u\",\"attempt\":\"attempt-1\",\"action\":\"allow\"}}", "{\"decision\":false,\"context\":{\"subject\":\"u\",\"attempt\":\"attempt-1\",\"action\":\"maybe\"}}",
        "{\"decision\":true} trailing"
    })
    void nonsenseIsNoAnswer(String text) {
        assertEquals(NoAnswer.Cause.NONSENSE, assertThrows(NoAnswer.class, () -> read(text)).why());
    }

    @ParameterizedTest
    @CsvSource({"open,allow", "challenge,step_up", "closed,deny", "opne,deny", ",step_up"})
    void silenceMeansTheFailMode(String mode, String action) {
        Outcome outcome = Outcome.unanswered(Wishes.of(mode, null), new Person(true, true));
        assertEquals(action, outcome.action().word());
        assertEquals("unreachable", outcome.source());
    }

    @ParameterizedTest
    @CsvSource({"allow,true,allow", "deny,true,deny", "dney,true,deny", "deny,false,allow"})
    void nobodyIsAskedForAFactorTheyDoNotHave(String without, boolean consented, String action) {
        Verdict asks = new Verdict(Action.STEP_UP, "id", "scored", "high");
        Wishes wishes = Wishes.of("challenge", without);
        assertEquals(action, Outcome.of(asks, wishes, new Person(false, consented)).action().word());
        assertEquals(action, Outcome.unanswered(wishes, new Person(false, consented)).action().word());
        assertEquals(Action.STEP_UP, Outcome.of(asks, wishes, new Person(true, consented)).action());
    }

    @Test
    void consentSurvivesItsAttribute() {
        Consent consent = new Consent(true, "2026-01", 1_795_270_000L);
        assertEquals(consent, Consent.read(consent.text()));
        assertFalse(Consent.read("refused 1 5").given());
        for (String broken : List.of("", "given", "given 1", "given 1 x", "yes 1 5", "given 1 5 6")) {
            assertNull(Consent.read(broken), broken);
        }
        assertNull(Consent.read(null));
    }

    @Test
    void theQuestionLeavesOutWhatIsNotKnown() {
        Map<String, Object> body = new Question("login", "u", "ann", "app", "attempt-1", null, List.of(), "sid", null, true, false).body();
        assertEquals(Map.of("attempt", "attempt-1", "sid", "sid", "second_factor", true, "gpc", false), body.get("context"));
        assertTrue(Question.isUsable("{}"));
        assertFalse(Question.isUsable("x".repeat(Question.LONGEST_CAPTURE + 1)));
    }
}
