"""Frozen values that every other room speaks in. Imports nothing but errors; does no IO; knows no clock."""
