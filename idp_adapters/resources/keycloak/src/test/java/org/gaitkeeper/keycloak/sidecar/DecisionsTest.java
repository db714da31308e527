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
    private static final Question QUESTION = Questions.plain();
    private static final String WHO = "\"subject\":\"u\",\"attempt\":\"attempt-1\"";

    private static Verdict read(String text) throws NoAnswer {
        return Verdict.read(text.getBytes(StandardCharsets.UTF_8), QUESTION);
    }

    @Test
    void anAnswerIsRead() throws NoAnswer {
        Verdict verdict = read("{\"decision\":false,\"context\":{" + WHO + ",\"action\":\"step_up\",\"decision_id\":\"rja_-1\",\"source\":\"scored\",\"risk_level\":\"high\"}}");
        assertEquals(new Verdict(Action.STEP_UP, "rja_-1", "scored", "high", false, null), verdict);
        assertEquals(new Verdict(Action.DENY, null, "unknown", "unknown", false, null), read("{\"decision\":false,\"context\":{" + WHO + "}}"));
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
        Verdict asks = new Verdict(Action.STEP_UP, "id", "scored", "high", false, null);
        Wishes wishes = Wishes.of("challenge", without);
        assertEquals(action, Outcome.of(asks, wishes, new Person(false, consented)).action().word());
        assertEquals(action, Outcome.unanswered(wishes, new Person(false, consented)).action().word());
        assertEquals(Action.STEP_UP, Outcome.of(asks, wishes, new Person(true, consented)).action());
    }

    @Test
    void consentSurvivesItsAttribute() {
        Consent consent = new Consent(true, "2026-01", 1_795_270_000_042L);
        assertEquals("given 2026-01 1795270000.042", consent.text());
        assertEquals(consent, Consent.read(consent.text()));
        assertEquals("1795270000.042", consent.told().get("answered_at").toString());
        assertEquals(new Consent(false, "1", 5_000), Consent.read("refused 1 5"));
        assertTrue(new String(Json.bytes(new Consent(true, "1", 1_795_270_000_000L).told())).contains("1795270000.000"));
        for (String broken : List.of("", "given", "given 1", "given 1 x", "yes 1 5", "given 1 5 6")) {
            assertNull(Consent.read(broken), broken);
        }
        assertNull(Consent.read(null));
    }

    @Test
    void theQuestionLeavesOutWhatIsNotKnown() {
        Map<String, Object> body = Questions.plain().body();
        assertEquals(Map.of("attempt", "attempt-1", "sid", "sid", "second_factor", true, "without_second_factor", "deny", "gpc", false,
            "ip", "192.0.2.1"), body.get("context"));
        assertEquals(Map.of("name", "ann", "realm", "shore"), Json.inside(Json.inside(body, "subject"), "properties"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"a", "\"", "\u0001", "\u00e9", "\u20ac"})
    void noQuestionIsLargerThanTheSidecarTakes(String letter) {
        List<String> captures = new java.util.ArrayList<>();
        for (int page = 0; page < Captures.MOST; page++) {
            for (int length = Captures.LONGEST; length > 0; length -= 512) {
                String capture = letter.repeat(length - 1) + page;
                if (page < Captures.MOST - 1 ? Captures.canBeCarried(capture, captures) : Captures.isUsable(capture)) {
                    captures.add(capture);
                    break;
                }
            }
        }
        assertFalse(captures.isEmpty());
        List<String> names = java.util.stream.IntStream.range(0, 32).mapToObj(number -> letter.repeat(255)).toList();
        assertTrue(Json.bytes(Questions.about(captures, names).body()).length < 256 * 1024);
    }

    @Test
    void whatCannotTravelIsNoCapture() {
        assertTrue(Captures.isUsable("{}"));
        for (String broken : new String[] {null, "", "x".repeat(Captures.LONGEST + 1), "\u0001".repeat(Captures.LONGEST)}) {
            assertFalse(Captures.isUsable(broken));
        }
        assertFalse(Captures.canBeCarried("x", List.of("a", "b", "c")));
    }

    @Test
    void theDevicesCookieIsReadAndWhatCannotBeOneIsNone() throws NoAnswer {
        String answer = "{\"decision\":true,\"context\":{" + WHO + ",\"device_cookie\":{\"value\":\"%s\",\"max_age\":%s}}}";
        assertEquals(new Verdict.Device("eyJ.a_b-c", 15_552_000), read(answer.formatted("eyJ.a_b-c", "15552000")).device());
        for (String[] broken : new String[][] {{"a;b", "5"}, {"a b", "5"}, {"", "5"}, {"x", "0"}, {"x", "-1"}, {"x", "\"5\""},
            {"x", "99999999999"}, {"x".repeat(1025), "5"}}) {
            assertNull(read(answer.formatted(broken[0], broken[1])).device(), broken[0]);
        }
    }

    @Test
    void oneLineAMinuteStandsForAll() {
        java.util.concurrent.atomic.AtomicLong now = new java.util.concurrent.atomic.AtomicLong(5);
        OncePerMinute<String> lines = new OncePerMinute<>(now::get);
        assertEquals(1, lines.count("a"));
        assertEquals(0, lines.count("a"));
        assertEquals(1, lines.count("b"));
        assertEquals(0, lines.count("a"));
        now.addAndGet(60_000_000_000L);
        assertEquals(3, lines.count("a"));
        assertEquals(0, lines.count("a"));
    }
}
