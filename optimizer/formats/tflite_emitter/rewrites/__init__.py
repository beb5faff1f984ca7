"""Rewrites on the ONNX graph before it is lowered: what TFLite does in one operator becomes one operation.

In the order in which they run: ``identities`` vanish and reshapes join, ``recurrences`` take what is cut from them,
``repeats`` are left to broadcasting, ``gelus``, ``layer_norms`` become one operation,
``attentions``, ``einsums`` and ``gemms`` become products, ``scales`` go into them, ``movements`` after them, ``heads``
become one product, ``streams`` shorten what normalizes them, ``normalizations`` go into the layers beside them,
``windows`` take paddings and order pixels,
``pointwise`` formulas shorten, ``biases`` join their products, ``activations`` join what computes their input.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.activations import fuse_activations
from optimizer.formats.tflite_emitter.rewrites.attentions import split_attentions
from optimizer.formats.tflite_emitter.rewrites.biases import add_biases
from optimizer.formats.tflite_emitter.rewrites.einsums import split_einsums
from optimizer.formats.tflite_emitter.rewrites.gelus import find_gelus
from optimizer.formats.tflite_emitter.rewrites.gemms import split_gemms
from optimizer.formats.tflite_emitter.rewrites.heads import merge_heads
from optimizer.formats.tflite_emitter.rewrites.identities import drop_identities, join_reshapes
from optimizer.formats.tflite_emitter.rewrites.layer_norms import find_layer_norms
from optimizer.formats.tflite_emitter.rewrites.movements import sink_movements
from optimizer.formats.tflite_emitter.rewrites.normalizations import fold_normalizations
from optimizer.formats.tflite_emitter.rewrites.pointwise import POINTWISE
from optimizer.formats.tflite_emitter.rewrites.recurrences import shorten_recurrences
from optimizer.formats.tflite_emitter.rewrites.repeats import add_rows, drop_repeats
from optimizer.formats.tflite_emitter.rewrites.scales import fold_scales
from optimizer.formats.tflite_emitter.rewrites.streams import shorten_layer_norms
from optimizer.formats.tflite_emitter.rewrites.windows import WINDOWS

REWRITES: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (
    drop_identities,
    shorten_recurrences,
    join_reshapes,
    drop_repeats,
    add_rows,
    fold_normalizations,
    find_gelus,
    find_layer_norms,
    split_attentions,
    split_einsums,
    split_gemms,
    fold_scales,
    sink_movements,
    merge_heads,
    sink_movements,
    shorten_layer_norms,
    *WINDOWS,
    *POINTWISE,
    add_biases,
    fuse_activations,
)


def rewritten(graph: OnnxGraph) -> OnnxGraph:
    """Return an equal graph of fewer operations."""
    for rewrite in REWRITES:
        graph = rewrite(graph)
    return graph


__all__ = ["REWRITES", "rewritten"]
