"""Choosing: what to try on a model for a device, what came of it, and which candidate wins.

In story order: ``budget`` (limits and the objective) and ``case`` (what a search is about, and its bench);
``candidate`` (a product, measured and judged); ``making`` and ``workbench`` (one attempt made and measured);
``study`` (the account that workers share) and ``known`` (what it tells so far); ``proposing/`` (what to try next);
``fitness`` and ``frontier`` (verdicts and reasons); ``optimize`` (the one call); ``folder`` and ``lock`` (a search on
disk, and its winner made again).
"""

__all__: list[str] = []
