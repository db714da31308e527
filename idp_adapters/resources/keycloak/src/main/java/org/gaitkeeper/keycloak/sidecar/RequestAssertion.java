package org.gaitkeeper.keycloak.sidecar;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.Signature;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The signed assertion over one HTTP request, in both directions: method, URL and exact body are bound, it lives for a minute,
 * and it works once. The form is that of the sidecar's hook (docs/hooks.md, Signing).
 */
public final class RequestAssertion {
    private static final String TYPE = "gk-request+jwt";
    private static final int SECONDS = 60;
    private static final int SKEW_SECONDS = 30;
    private static final int LONGEST = 4096;
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final Base64.Encoder ENCODER = Base64.getUrlEncoder().withoutPadding();

    /** What is signed over. */
    public record Request(String issuer, String audience, String method, String url, byte[] body) { }

    /** A verified assertion's id and how many seconds it must be remembered for. */
    public record Accepted(String jti, long seconds) { }

    /** An assertion is refused; the message is for the log, never for the caller. */
    public static final class Refused extends Exception {
        private static final long serialVersionUID = 1L;

        Refused(String why) {
            super(why, null, false, false);
        }
    }

    private RequestAssertion() { }

    public static String sign(EcKey key, Request request, long now) {
        byte[] random = new byte[16];
        RANDOM.nextBytes(random);
        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("iss", request.issuer());
        claims.put("aud", request.audience());
        claims.put("iat", now);
        claims.put("exp", now + SECONDS);
        claims.put("jti", ENCODER.encodeToString(random));
        claims.put("htm", request.method());
        claims.put("htu", request.url());
        claims.put("body_sha256", digest(request.body()));
        String signed = part(Map.of("alg", "ES256", "typ", TYPE, "kid", key.kid())) + "." + part(claims);
        try {
            Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
            signature.initSign(key.secret(), RANDOM);
            signature.update(signed.getBytes(StandardCharsets.US_ASCII));
            return signed + "." + ENCODER.encodeToString(signature.sign());
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("this Java does not sign ES256", impossible);
        }
    }

    /** Verify a token over a request as the receiver sees it. The caller still has to refuse a jti it has seen before. */
    public static Accepted verify(String token, List<EcKey> keys, Request request, long now) throws Refused {
        String[] parts = token == null || token.length() > LONGEST ? new String[0] : token.split("\\.", -1);
        if (parts.length != 3) {
            throw new Refused("not a token");
        }
        Map<String, Object> header = object(parts[0]);
        if (!TYPE.equals(header.get("typ")) || !"ES256".equals(header.get("alg")) || header.containsKey("crit") || header.containsKey("b64")) {
            throw new Refused("wrong type or algorithm");
        }
        List<EcKey> named = keys.stream().filter(key -> key.kid().equals(header.get("kid"))).toList();
        if (named.size() != 1 || !isSigned(named.get(0), parts)) {
            throw new Refused("unknown key or wrong signature");
        }
        Map<String, Object> claims = object(parts[1]);
        if (!request.issuer().equals(claims.get("iss")) || !request.audience().equals(claims.get("aud"))) {
            throw new Refused("from or for somebody else");
        }
        long issued = whole(claims, "iat");
        long expires = whole(claims, "exp");
        if (claims.containsKey("nbf") || issued > now + SKEW_SECONDS || now >= expires || expires - issued > SECONDS) {
            throw new Refused("times do not hold: check both clocks");
        }
        if (!request.method().equals(claims.get("htm")) || !request.url().equals(claims.get("htu"))) {
            throw new Refused("made for another request");
        }
        if (!digest(request.body()).equals(claims.get("body_sha256"))) {
            throw new Refused("made for another body");
        }
        if (!(claims.get("jti") instanceof String jti) || jti.length() < 8 || jti.length() > 128) {
            throw new Refused("jti of unusable length");
        }
        return new Accepted(jti, expires - now + 1);
    }

    private static boolean isSigned(EcKey key, String[] parts) {
        try {
            Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
            signature.initVerify(key.open());
            signature.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
            return signature.verify(Base64.getUrlDecoder().decode(parts[2]));
        } catch (GeneralSecurityException | IllegalArgumentException unsigned) {
            return false;
        }
    }

    private static Map<String, Object> object(String part) throws Refused {
        try {
            return Json.object(Base64.getUrlDecoder().decode(part));
        } catch (IllegalArgumentException unreadable) {
            throw new Refused("not a token");
        }
    }

    private static long whole(Map<String, Object> claims, String name) throws Refused {
        if (claims.get(name) instanceof Integer || claims.get(name) instanceof Long) {
            return ((Number) claims.get(name)).longValue();
        }
        throw new Refused("times are not whole seconds");
    }

    private static String part(Map<String, Object> content) {
        return ENCODER.encodeToString(Json.bytes(content));
    }

    private static String digest(byte[] body) {
        try {
            return ENCODER.encodeToString(MessageDigest.getInstance("SHA-256").digest(body));
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException("this Java has no SHA-256", impossible);
        }
    }
}
