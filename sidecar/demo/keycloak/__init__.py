"""``make demo-keycloak``: a real Keycloak in place of the demo provider, connected by the product's own command."""
