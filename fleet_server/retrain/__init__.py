"""Retrain requests: the loop's last arrow, back to the people who train.

In story order: ``request`` (alert to request), ``store``, ``export`` (one JSON file each), ``routes``.
"""
