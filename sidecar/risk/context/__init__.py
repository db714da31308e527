"""Signals from everything around the typing: who asks, device, network, places, hours, failures, marks.

Pure functions over values. History counts completed logins only (password accepted, and allowed or confirmed by a second
factor), so nobody without the password can raise a victim's friction (SEC4). What is not known is None.
"""
