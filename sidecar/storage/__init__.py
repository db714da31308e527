"""Stores that implement ``ports`` and nothing else. SQLite is the embedded default."""
