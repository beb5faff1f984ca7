"""Drift: what devices see, held against what the model was made for.

In story order: ``store`` (windows arrive), ``baseline`` (what normal was), ``statistics`` and ``distance``
(what moved), ``watch`` (one tick: windows to alerts and retrain requests).
"""
