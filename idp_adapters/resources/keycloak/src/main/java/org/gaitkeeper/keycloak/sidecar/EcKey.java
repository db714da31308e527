package org.gaitkeeper.keycloak.sidecar;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.ECPublicKeySpec;
import java.util.Base64;
import java.util.Map;

/**
 * A P-256 key as a JWK: {@code secret} is null for the public half. {@code kid} is the RFC 7638 thumbprint, as the sidecar
 * computes it, whatever the JWK calls itself.
 */
public record EcKey(String kid, PublicKey open, PrivateKey secret) {

    /** Read a JWK. Throws IllegalArgumentException, whose message tells nothing of the key. */
    public static EcKey read(Map<String, Object> jwk) {
        if (!"EC".equals(jwk.get("kty")) || !"P-256".equals(jwk.get("crv"))) {
            throw new IllegalArgumentException("not a P-256 key (JWK with kty EC and crv P-256)");
        }
        try {
            AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
            parameters.init(new ECGenParameterSpec("secp256r1"));
            ECParameterSpec curve = parameters.getParameterSpec(ECParameterSpec.class);
            KeyFactory keys = KeyFactory.getInstance("EC");
            ECPoint point = new ECPoint(number(jwk, "x"), number(jwk, "y"));
            PublicKey open = keys.generatePublic(new ECPublicKeySpec(point, curve));
            PrivateKey secret = jwk.containsKey("d") ? keys.generatePrivate(new ECPrivateKeySpec(number(jwk, "d"), curve)) : null;
            return new EcKey(thumbprint((String) jwk.get("x"), (String) jwk.get("y")), open, secret);
        } catch (GeneralSecurityException | RuntimeException unusable) {
            throw new IllegalArgumentException("not a usable P-256 key");
        }
    }

    @Override
    public String toString() {
        return "EcKey[" + kid + "]";
    }

    private static BigInteger number(Map<String, Object> jwk, String name) {
        byte[] bytes = Base64.getUrlDecoder().decode((String) jwk.get(name));
        if (bytes.length != 32) {
            throw new IllegalArgumentException("a coordinate has 32 bytes");
        }
        return new BigInteger(1, bytes);
    }

    private static String thumbprint(String x, String y) throws GeneralSecurityException {
        String canonical = "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" + x + "\",\"y\":\"" + y + "\"}";
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(canonical.getBytes(StandardCharsets.UTF_8));
        return Base64.getUrlEncoder().withoutPadding().encodeToString(digest);
    }
}
