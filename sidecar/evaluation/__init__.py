"""Measuring the scorer: data sets, metrics, protocols, calibration fits and synthetic typists."""
