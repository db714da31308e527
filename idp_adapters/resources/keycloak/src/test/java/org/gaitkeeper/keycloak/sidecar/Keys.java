package org.gaitkeeper.keycloak.sidecar;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.ECPrivateKey;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/** Fresh keys for tests. */
final class Keys {
    private Keys() { }

    static Map<String, Object> jwk() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = generator.generateKeyPair();
        ECPublicKey open = (ECPublicKey) pair.getPublic();
        Map<String, Object> jwk = new HashMap<>(Map.of("kty", "EC", "crv", "P-256"));
        jwk.put("x", encoded(open.getW().getAffineX()));
        jwk.put("y", encoded(open.getW().getAffineY()));
        jwk.put("d", encoded(((ECPrivateKey) pair.getPrivate()).getS()));
        return jwk;
    }

    static EcKey key() throws Exception {
        return EcKey.read(jwk());
    }

    private static String encoded(BigInteger number) {
        byte[] bytes = number.toByteArray();
        byte[] wide = new byte[32];
        byte[] used = bytes.length > 32 ? Arrays.copyOfRange(bytes, bytes.length - 32, bytes.length) : bytes;
        System.arraycopy(used, 0, wide, 32 - used.length, used.length);
        return Base64.getUrlEncoder().withoutPadding().encodeToString(wide);
    }
}
