"""Alerts: what somebody has to look at.

In story order: ``rule`` (when one opens and clears), ``store``, ``routes``.
"""
