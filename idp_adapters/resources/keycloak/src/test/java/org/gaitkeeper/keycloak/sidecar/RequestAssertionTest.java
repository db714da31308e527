package org.gaitkeeper.keycloak.sidecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.gaitkeeper.keycloak.sidecar.RequestAssertion.Refused;
import org.gaitkeeper.keycloak.sidecar.RequestAssertion.Request;
import org.junit.jupiter.api.Test;

class RequestAssertionTest {
    private static final long NOW = 1_795_270_000L;

    private static Request request(String body) {
        return new Request("https://idp/realms/a", "https://side.car", "POST", "https://side.car/x", body.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void whatIsSignedVerifiesAndIsBoundToEverything() throws Exception {
        EcKey key = Keys.key();
        Request made = request("{}");
        String token = RequestAssertion.sign(key, made, NOW);
        assertEquals(22, RequestAssertion.verify(token, List.of(key), made, NOW + 59).jti().length());
        List<Request> others = List.of(
            request("{} "),
            new Request("https://idp/realms/b", made.audience(), "POST", made.url(), made.body()),
            new Request(made.issuer(), "https://other", "POST", made.url(), made.body()),
            new Request(made.issuer(), made.audience(), "GET", made.url(), made.body()),
            new Request(made.issuer(), made.audience(), "POST", made.url() + "?a", made.body()));
        for (Request other : others) {
            assertThrows(Refused.class, () -> RequestAssertion.verify(token, List.of(key), other, NOW));
        }
    }

    @Test
    void anotherKeyAnotherTimeAndAnotherTypeAreRefused() throws Exception {
        EcKey key = Keys.key();
        Request made = request("{}");
        String token = RequestAssertion.sign(key, made, NOW);
        EcKey stranger = Keys.key();
        assertThrows(Refused.class, () -> RequestAssertion.verify(token, List.of(stranger), made, NOW));
        assertThrows(Refused.class, () -> RequestAssertion.verify(token, List.of(key), made, NOW + 60));
        assertThrows(Refused.class, () -> RequestAssertion.verify(token, List.of(key), made, NOW - 600));
        String none = encoded(Map.of("alg", "none", "typ", "gk-request+jwt", "kid", key.kid())) + token.substring(token.indexOf('.'));
        for (String broken : List.of("", "a.b.c", token + "x", none, token.substring(0, token.length() - 4) + "AAAA", "é.é.é")) {
            assertThrows(Refused.class, () -> RequestAssertion.verify(broken, List.of(key), made, NOW), broken);
        }
        assertThrows(Refused.class, () -> RequestAssertion.verify(null, List.of(key), made, NOW));
    }

    @Test
    void theKidIsTheThumbprintOfTheRfcsExampleForm() throws Exception {
        Map<String, Object> jwk = Keys.jwk();
        EcKey key = EcKey.read(jwk);
        jwk.put("kid", "as it likes");
        assertEquals(key.kid(), EcKey.read(jwk).kid());
        assertEquals(43, key.kid().length());
        assertFalse(key.toString().contains((String) jwk.get("d")));
        jwk.put("x", "AAAA");
        assertThrows(IllegalArgumentException.class, () -> EcKey.read(jwk));
        assertThrows(IllegalArgumentException.class, () -> EcKey.read(Map.of("kty", "RSA")));
    }

    private static String encoded(Map<String, Object> content) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(Json.bytes(content));
    }
}
