"""Operators that treat each element alone, in whatever order the axes lie.

``broadcasting`` lays several inputs out alike, ``formula`` writes operators one after the other over them;
``arithmetic``, ``comparison`` (with logic and Where) and ``activation`` are the families.
"""

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators.elementwise import activation, arithmetic, comparison
from optimizer.formats.tflite_emitter.operators.entry import Entry

ENTRIES: Mapping[str, Entry] = {**arithmetic.ENTRIES, **comparison.ENTRIES, **activation.ENTRIES}

__all__ = ["ENTRIES"]
