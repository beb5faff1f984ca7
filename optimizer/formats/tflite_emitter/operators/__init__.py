"""How each ONNX operator is written, by family; ``entry`` is one line of the table.

``windows`` (convolutions, pools, resizes), ``selection`` (cut, pick, scatter, rank), ``dense`` (products),
``attention`` (and GELU), ``normalization``, ``elementwise``, ``reduction``, ``softmax``, ``recurrent`` and ``shape``
(axes moved, merged, joined). Each family names its operators in ``ENTRIES``.
"""

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators import (
    attention,
    dense,
    elementwise,
    normalization,
    recurrent,
    reduction,
    selection,
    shape,
    softmax,
    windows,
)
from optimizer.formats.tflite_emitter.operators.entry import Entry

FAMILIES: tuple[Mapping[str, Entry], ...] = (
    windows.ENTRIES,
    dense.ENTRIES,
    elementwise.ENTRIES,
    reduction.ENTRIES,
    softmax.ENTRIES,
    shape.ENTRIES,
    recurrent.ENTRIES,
    selection.ENTRIES,
    attention.ENTRIES,
    normalization.ENTRIES,
)

__all__ = ["FAMILIES", "Entry"]
