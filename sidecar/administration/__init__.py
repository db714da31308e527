"""Commands of an administrator on a machine that holds the keys: ``gaitkeeper keys ...`` and ``gaitkeeper subject ...``."""
