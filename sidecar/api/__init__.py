"""Thin routes: decode, one use case, encode. Pages for people live in ``console``."""
