"""Operators that choose, repeat or replace elements.

``bounds`` cut along axes (Slice, Split), ``gathers`` pick by index, ``scatters`` write by index, ``order`` ranks and
reverses, ``patterns`` repeat and mask, ``unwritten`` says why some operators are refused and what to do instead.
"""

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.selection import bounds, gathers, order, patterns, scatters
from optimizer.formats.tflite_emitter.operators.selection.unwritten import UNWRITTEN

ENTRIES: Mapping[str, Entry] = {
    **bounds.ENTRIES,
    **gathers.ENTRIES,
    **scatters.ENTRIES,
    **order.ENTRIES,
    **patterns.ENTRIES,
}

__all__ = ["ENTRIES", "UNWRITTEN"]
