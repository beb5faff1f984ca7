"""Rewrites on the ONNX graph before it is lowered: what TFLite does in one operator becomes one operation.

In the order in which they run: ``identities`` vanish, ``normalizations`` go into the layers beside them, ``biases``
join their products, ``activations`` join what computes their input.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.activations import fuse_activations
from optimizer.formats.tflite_emitter.rewrites.biases import add_biases
from optimizer.formats.tflite_emitter.rewrites.identities import drop_identities
from optimizer.formats.tflite_emitter.rewrites.normalizations import fold_normalizations

REWRITES: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (
    drop_identities,
    fold_normalizations,
    add_biases,
    fuse_activations,
)


def rewritten(graph: OnnxGraph) -> OnnxGraph:
    """Return an equal graph of fewer operations."""
    for rewrite in REWRITES:
        graph = rewrite(graph)
    return graph


__all__ = ["REWRITES", "rewritten"]
