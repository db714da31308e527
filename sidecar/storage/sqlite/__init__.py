"""The embedded default: one SQLite file in WAL mode, one writer thread, read-only connections for everybody else."""
