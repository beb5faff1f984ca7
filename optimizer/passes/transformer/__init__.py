"""Parts of the passes for dense layers and transformers.

In story order: ``graph``, ``dense``, ``absorb``, ``integers``.
``graph`` is what they rewrite, ``dense`` names the layers, ``absorb`` scales what comes before a layer, and
``integers`` writes a layer with integer weights.
"""

__all__: list[str] = []
