"""How the sidecar speaks to identity providers: one file per kind, registered in ``ADAPTERS``, and nothing shared.

Adapters import ports, domain, errors and tokens of the sidecar, never each other. ``demo`` is not an adapter: it is a
small identity provider of its own that uses the public hook like any other.
"""
