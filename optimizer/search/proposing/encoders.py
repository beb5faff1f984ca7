"""What to try on networks of dense layers with attention or layer normalization: int8 whose scales come with the data.

Fixed scales lose on them (a few tokens are outliers), so outliers are moved into the weights first (``smooth``), and
the finer the scales of activations, the closer to float and the slower. ADR 0011 has the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from optimizer.passes import ArrangeTransformer, QuantizeDynamic, SmoothTransformer
from optimizer.passes.transformer.dense import narrowing_layers
from optimizer.pipeline import Pipeline
from optimizer.search.making import Attempt

if TYPE_CHECKING:
    from optimizer.model import ModelSpec
    from optimizer.pass_ import Pass
    from optimizer.search.known import Tried

ARRANGED: Final = "onnx float arranged"
_DENSE: Final = frozenset({"Gemm", "MatMul"})
_MARKS: Final = frozenset({"Erf", "Gelu", "LayerNormalization", "SkipLayerNormalization", "Softmax"})
_NONE_OF: Final = frozenset({"Conv", "ConvTranspose"})
_STRENGTHS: Final = (0.65, 0.8, 0.5)


def is_encoder(spec: ModelSpec) -> bool:
    """Return whether an ONNX model has dense layers beside attention or normalization of layers, and no convolution."""
    operators = spec.operators
    return bool(operators & _DENSE) and bool(operators & _MARKS) and not operators & _NONE_OF


def arranged(float_: Tried) -> Iterator[Attempt]:
    """Yield the float model arranged for the runtime's kernels."""
    if is_encoder(float_.product.model.spec):
        steps = float_.attempt.pipeline.steps
        yield Attempt(label=ARRANGED, pipeline=Pipeline(*steps, ArrangeTransformer()))


def smoothed(base: Tried) -> Iterator[Attempt]:
    """Yield int8 with smoothed outliers, the coarsest and fastest scales first."""
    for label, step in _scales(base).items():
        yield _attempt(base, label, step, _STRENGTHS[0])


def other_strengths(base: Tried, label: str) -> Iterator[Attempt]:
    """Yield the named choice of scales behind other strengths of smoothing."""
    step = _scales(base).get(label.partition(", smoothed")[0])
    if step is not None:
        for strength in _STRENGTHS[1:]:
            yield _attempt(base, label.partition(", smoothed")[0], step, strength)


def _scales(base: Tried) -> dict[str, QuantizeDynamic]:
    narrowing = narrowing_layers(base.product.model)
    return {
        "onnx int8 dynamic": QuantizeDynamic(),
        "onnx int8 dynamic, scales by token where layers narrow": QuantizeDynamic(per_token=narrowing),
        "onnx int8 dynamic, scales by token": QuantizeDynamic(per_token=("*",)),
        "onnx int8 dynamic, scales by block where layers narrow": QuantizeDynamic(per_block=narrowing),
    }


def _attempt(base: Tried, label: str, step: QuantizeDynamic, strength: float) -> Attempt:
    steps: tuple[Pass, ...] = (*base.attempt.pipeline.steps, SmoothTransformer(strength=strength), step)
    return Attempt(label=f"{label}, smoothed {strength:g}", pipeline=Pipeline(*steps))
