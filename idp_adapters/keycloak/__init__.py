"""Keycloak: installing the provider's configuration through the Admin API, and ending sessions there."""
