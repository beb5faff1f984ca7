"""Rewrites around windows and pixels.

``paddings`` go into the convolution after them, ``pixels`` lie in TFLite's order beside convolutions,
``parts`` that together are a whole become one Split.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.windows.paddings import merge_paddings
from optimizer.formats.tflite_emitter.rewrites.windows.parts import join_parts
from optimizer.formats.tflite_emitter.rewrites.windows.pixels import find_pixels, order_pixels

WINDOWS: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (merge_paddings, find_pixels, order_pixels, join_parts)

__all__ = ["WINDOWS"]
