"""Artifact in, answers out, over one small HTTP server.

In story order: ``engine`` and ``engines`` (a runtime behind one protocol), ``served_model`` (an artifact that
answers), ``swap`` (which release answers now), ``validation``, ``protocol``, ``endpoints`` (what a request
means), ``connection`` and ``server`` (bytes to requests), ``meter`` (how it went). Writes nothing to disk.
"""

__all__: list[str] = []
