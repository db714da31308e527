package org.gaitkeeper.keycloak.sidecar;

/**
 * How one realm reaches its sidecar: {@code url} is where, {@code audience} what the sidecar calls itself (its base_url), and
 * {@code issuer} what the sidecar calls the realm. The two URLs differ where the server takes an inner way.
 */
public record Connection(String url, String audience, String issuer, EcKey key) { }
