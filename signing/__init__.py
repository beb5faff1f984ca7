"""Offline keys and signed releases."""
