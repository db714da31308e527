"""Drafting a policy: everything a security team does to a file before it goes live. ``gaitkeeper policy ...``."""
