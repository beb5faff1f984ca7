"""Rewrites of what treats each element alone.

In the order in which they run: ``clamps`` join, ``known`` formulas become the operator that they spell out, ``gates``
are spelled out again where a layer takes most of them, ``affine`` chains of constant sums and products join and go
into the ``layers`` beside them.
"""

from collections.abc import Callable

from optimizer.formats.tflite_emitter.graph import OnnxGraph
from optimizer.formats.tflite_emitter.rewrites.pointwise.affine import fold_affine
from optimizer.formats.tflite_emitter.rewrites.pointwise.clamps import join_clamps, split_clamps
from optimizer.formats.tflite_emitter.rewrites.pointwise.gates import spell_gates
from optimizer.formats.tflite_emitter.rewrites.pointwise.known import name_formulas

POINTWISE: tuple[Callable[[OnnxGraph], OnnxGraph], ...] = (
    join_clamps,
    name_formulas,
    spell_gates,
    fold_affine,
    split_clamps,
)

__all__ = ["POINTWISE"]
