"""Operators that slide over an image, or change how many pixels it has.

``window`` says where a window lies, ``convolution``, ``transposed_convolution`` and ``pool`` slide one, ``pixels``
trades channels for pixels, ``interpolation`` says what an ONNX Resize computes, ``resize`` writes it.
"""

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.windows import (
    convolution,
    pixels,
    pool,
    resize,
    transposed_convolution,
)

ENTRIES: Mapping[str, Entry] = {
    **convolution.ENTRIES,
    **transposed_convolution.ENTRIES,
    **pool.ENTRIES,
    **pixels.ENTRIES,
    **resize.ENTRIES,
}

__all__ = ["ENTRIES"]
