"""Rewrites on the ONNX graph before it is lowered: what TFLite does in one operator becomes one operation.

In the order in which they run: ``identities`` vanish and reshapes join, ``recurrences`` take what is cut from them,
``repeats`` are left to broadcasting, ``normalizations`` go into the layers beside them, ``products`` (attention, GELU,
layer normalization) find their shortest form, ``windows`` take paddings and order pixels, ``pointwise`` formulas
shorten, ``activations`` join what computes their input. ``editing`` is a rewrite at work, ``linear`` a product by a
constant matrix.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.activations import fuse_activations
from optimizer.formats.tflite_emitter.rewrites.identities import drop_identities, join_reshapes
from optimizer.formats.tflite_emitter.rewrites.normalizations import fold_normalizations
from optimizer.formats.tflite_emitter.rewrites.pointwise import POINTWISE
from optimizer.formats.tflite_emitter.rewrites.products import PRODUCTS
from optimizer.formats.tflite_emitter.rewrites.recurrences import shorten_recurrences
from optimizer.formats.tflite_emitter.rewrites.repeats import add_rows, drop_repeats
from optimizer.formats.tflite_emitter.rewrites.windows import WINDOWS

REWRITES: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (
    drop_identities,
    shorten_recurrences,
    join_reshapes,
    drop_repeats,
    add_rows,
    fold_normalizations,
    *PRODUCTS,
    *WINDOWS,
    *POINTWISE,
    fuse_activations,
)


def rewritten(graph: OnnxGraph) -> OnnxGraph:
    """Return an equal graph of fewer operations."""
    for rewrite in REWRITES:
        graph = rewrite(graph)
    return graph


__all__ = ["REWRITES", "rewritten"]
