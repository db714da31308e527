"""Turns what the widget sent into probes: pure functions from batches to numbers."""
