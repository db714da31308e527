"""The operator page: what was decided, about whom, why. Behind OIDC login, with the roles viewer and admin."""
