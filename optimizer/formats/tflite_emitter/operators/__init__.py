"""How each ONNX operator is written, by family; ``entry`` is one line of the table.

``window`` (convolutions, pools), ``dense`` (products), ``elementwise``, ``reduction`` and ``shape`` (axes moved,
merged, joined, cut). Each family names its operators in ``ENTRIES``.
"""

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators import dense, elementwise, reduction, shape, window
from optimizer.formats.tflite_emitter.operators.entry import Entry

FAMILIES: tuple[Mapping[str, Entry], ...] = (
    window.ENTRIES,
    dense.ENTRIES,
    elementwise.ENTRIES,
    reduction.ENTRIES,
    shape.ENTRIES,
)

__all__ = ["FAMILIES", "Entry"]
