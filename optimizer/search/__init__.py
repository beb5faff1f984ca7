"""Choosing: what to try on a model for a device, what came of it, and which candidate wins.

In story order: ``budget`` (limits and the objective), ``exploration`` (pipelines in, products and failures out),
``candidate`` (a product measured and judged), ``frontier`` (verdicts and reasons), ``optimize`` (the one call) and
``folder`` (a search on disk).
"""

__all__: list[str] = []
