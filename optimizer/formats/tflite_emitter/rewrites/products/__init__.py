"""Rewrites of products by constant and computed matrices, and of what transformers put around them.

In the order in which they run: ``gelus``, ``layer_norms`` and ``group_norms`` spelt out become one operation (``cones``
finds what a formula computes), ``attentions``, ``einsums`` and ``gemms`` become plain products (``replacing`` one
operation by several), ``scales`` go into their weights, ``movements`` after them, ``heads`` of one attention into one
product, ``streams`` shorten the normalizations.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.products.attentions import split_attentions
from optimizer.formats.tflite_emitter.rewrites.products.einsums import split_einsums
from optimizer.formats.tflite_emitter.rewrites.products.gelus import find_gelus
from optimizer.formats.tflite_emitter.rewrites.products.gemms import split_gemms
from optimizer.formats.tflite_emitter.rewrites.products.group_norms import find_group_norms
from optimizer.formats.tflite_emitter.rewrites.products.heads import merge_heads
from optimizer.formats.tflite_emitter.rewrites.products.layer_norms import find_layer_norms
from optimizer.formats.tflite_emitter.rewrites.products.movements import sink_movements
from optimizer.formats.tflite_emitter.rewrites.products.scales import fold_scales
from optimizer.formats.tflite_emitter.rewrites.products.streams import shorten_layer_norms

PRODUCTS: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (
    find_gelus,
    find_layer_norms,
    find_group_norms,
    split_attentions,
    split_einsums,
    split_gemms,
    fold_scales,
    sink_movements,
    merge_heads,
    sink_movements,
    fold_scales,
    shorten_layer_norms,
)

__all__ = ["PRODUCTS"]
