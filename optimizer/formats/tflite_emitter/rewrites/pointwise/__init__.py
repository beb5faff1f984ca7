"""Rewrites of what treats each element alone.

In the order in which they run: ``clamps`` join, ``known`` formulas become the operator that they spell out, ``norms``
divide by what they are of, ``affine`` chains of constant sums and products join and go into the layers beside them.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.pointwise.affine import fold_affine
from optimizer.formats.tflite_emitter.rewrites.pointwise.clamps import join_clamps, split_clamps
from optimizer.formats.tflite_emitter.rewrites.pointwise.known import name_formulas
from optimizer.formats.tflite_emitter.rewrites.pointwise.norms import name_normalizations

POINTWISE: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (
    join_clamps,
    name_formulas,
    name_normalizations,
    fold_affine,
    split_clamps,
)

__all__ = ["POINTWISE"]
