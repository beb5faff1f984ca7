"""What to try on a model for a device, round by round; each is a pure function of what those before have shown.

``floats`` → ``arranged`` → ``whole`` → ``mixed`` → ``strengths`` → ``segments`` → ``neighbouring`` → ``repairs`` →
``saved``; ``pruned`` comes before ``repairs`` where it was asked for, as it trains for minutes. Nothing is chosen here:
the rules of thumb only say what is worth measuring. The order of the attempts is that of preference between equals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from contracts.manifest import ModelFormat
from device_profiles.profile import DeviceProfile
from optimizer.model import Format, Model
from optimizer.pass_ import Pass
from optimizer.passes import (
    Activation,
    CalibrationMethod,
    CompactOnnx,
    ConvertFloat16,
    EqualizeLayers,
    ExportOnnx,
    ExportTflite,
    Level,
    PadChannels,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeWeights,
    Rounding,
    SaveOptimized,
    SaveOrt,
    SimplifyOnnx,
)
from optimizer.passes.layers import operations
from optimizer.passes.prune_channels import FineTune
from optimizer.passes.save_optimized import level_for
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective
from optimizer.search.known import AS_GIVEN, ONNX_FLOAT, ONNX_PADDED, S8S8, TFLITE_FLOAT, U8S8, Known, Tried
from optimizer.search.making import Attempt
from optimizer.search.proposing import encoders, litert, pruning
from optimizer.search.proposing.segments import Segment, neighbours, propose

Round: TypeAlias = Callable[[Known], tuple[Attempt, ...]]

_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
_DENSE: Final = frozenset({"Gemm", "MatMul"})
_RECURRENT: Final = frozenset({"LSTM"})
_FLOAT_ALONE: Final = frozenset({"GRU", "RNN"})
"""Recurrent layers that ONNX Runtime computes in float alone: only their weights can be stored as integers."""
_SEGMENTS: Final = 6
_LEAST_LAYERS: Final = 3
_DOUBT: Final = 0.02
"""Share of the float time that profiles do not resolve: a part must be expected to save more than whole int8 by it."""
_WORST_KEPT: Final = (1, 2, 4)
_MAY_END_SMALLER: Final = 1.5
"""Of two files of one network, quantized in unlike ways, the larger may have less in it that must stay by this much."""


def floats(known: Known) -> tuple[Attempt, ...]:
    """Return the models that compute as the original does, one for each format that the target reads."""
    return (*ways(known.case.model, known.case.target), *(_padded(known) if known.wants_latency else ()))


def ways(model: Model, target: DeviceProfile) -> tuple[Attempt, ...]:
    """Return the attempts that compute as the model does, one for each way to a format that the target reads."""
    return tuple(_ways(model, target))


def whole(known: Known) -> tuple[Attempt, ...]:
    """Return whole recipes of lower precision for each float model that came out."""
    onnx, tflite = known.float_base, known.tflite_base
    in_tflite = tuple(litert.whole(known, tflite)) if tflite else ()
    if onnx and encoders.is_encoder(onnx.product.model.spec):
        return (*_whole_encoder(known, onnx), *in_tflite)
    return (*(_whole_onnx(known, onnx) if onnx else ()), *in_tflite)


def mixed(known: Known) -> tuple[Attempt, ...]:
    """Return the TFLite file that is integer as far as it can be, where it cannot be whole."""
    tflite = known.tflite_base
    return tuple(litert.mixed(known, tflite)) if tflite else ()


def arranged(known: Known) -> tuple[Attempt, ...]:
    """Return other forms of the float models: encoders as the runtime's kernels like them, recurrences unrolled."""
    onnx = known.done(ONNX_FLOAT)
    return (*(encoders.arranged(onnx) if onnx else ()), *(litert.unrolled(known) if known.wants_latency else ()))


def strengths(known: Known) -> tuple[Attempt, ...]:
    """Return the best smoothed recipe of an encoder behind other strengths."""
    base = known.done(encoders.ARRANGED) or known.done(ONNX_FLOAT)
    best = known.best(one for one in known.all if known.is_accurate(one))
    if base is None or best is None or not encoders.is_encoder(base.product.model.spec):
        return ()
    return tuple(encoders.other_strengths(base, best.attempt.label))


def segments(known: Known) -> tuple[Attempt, ...]:
    """Return contiguous parts of the network to compute in int8, where latency is wanted and whole int8 is possible."""
    onnx, int8 = known.float_base, known.done(U8S8)
    if onnx is None or int8 is None or not known.wants_latency:
        return ()
    times, border_us = known.layer_times(onnx, int8)
    if len(times) < _LEAST_LAYERS:
        return ()
    whole_us, float_us = sum(one.gain_us for one in times), sum(one.float_us for one in times)
    int8_loses = int8.figures.ratio >= onnx.figures.ratio
    least_us = -_DOUBT * float_us if int8_loses else whole_us + _DOUBT * float_us
    found = propose(times, border_us=border_us, wanted=_SEGMENTS, least_us=least_us)
    return tuple(_segment(onnx, known.layers(onnx), segment) for segment in found)


def neighbouring(known: Known) -> tuple[Attempt, ...]:
    """Return the neighbours of the fastest segment, and it with one scale a tensor, where it beats all else."""
    onnx, fastest = known.float_base, known.fastest()
    if onnx is None or fastest is None or not fastest.attempt.pipeline.steps:
        return ()
    step = fastest.attempt.pipeline.steps[-1]
    if not isinstance(step, QuantizeStatic) or not (step.first or step.last):
        return ()
    layers = known.layers(onnx)
    here = Segment(
        first=layers.index(step.first) if step.first else 0,
        last=_layer_before(onnx, layers, step.last) if step.last else len(layers) - 1,
    )
    near = (_segment(onnx, layers, segment) for segment in neighbours(here, layers=len(layers)))
    whole_tensor = dataclasses.replace(step, per_channel=False, rounding=Rounding.ADAPTIVE)
    one_scale = Pipeline(*fastest.attempt.pipeline.steps[:-1], whole_tensor)
    return (*near, Attempt(label=f"{fastest.attempt.label}, per tensor, adaptive rounding", pipeline=one_scale))


def repairs(known: Known) -> tuple[Attempt, ...]:
    """Return variations of the recipe that would win if it kept accuracy: ranges, corrections, layers left float."""
    wounded = known.wanted_but_inaccurate()
    if wounded is None:
        return ()
    return (*_repairs(known, wounded), *litert.repairs(known, wounded))


def saved(known: Known) -> tuple[Attempt, ...]:
    """Return the saved forms of the best accurate ONNX model: the same answers from a shorter file.

    Where size is wanted, also those of each other kind: how much bookkeeping a file carries depends on how it was
    quantized. An ORT-format file is never the smallest.
    """
    best = known.best(one for one in known.all if known.is_accurate(one))
    if best is None:
        return ()
    if known.objective is Objective.SIZE:
        return tuple(form for one in _nearly_smallest(known, best) for form in _shortened(one, Level.EXTENDED))
    if best.product.model.format is not Format.ONNX:
        return ()
    level = level_for(known.case.target)
    return (*_shortened(best, level), _followed(best, "saved as ORT", SaveOrt(level=level)))


ROUNDS: Final[tuple[Round, ...]] = (
    floats,
    arranged,
    whole,
    mixed,
    strengths,
    segments,
    neighbouring,
    repairs,
    saved,
)


def pruned(training: FineTune) -> Round:
    """Return the round that cuts channels out of a torch program and trains it, each beside its dense control."""
    return lambda known: pruning.proposed(known, training)


def pruned_gently(training: FineTune) -> Round:
    """Return the round that cuts less where ``pruned`` lost too much."""
    return lambda known: pruning.retried(known, training)


def rounds_with(training: FineTune | None) -> tuple[Round, ...]:
    """Return all rounds; ``pruned`` and ``pruned_gently`` among them where there is a training."""
    if training is None:
        return ROUNDS
    place = ROUNDS.index(repairs)
    return (*ROUNDS[:place], pruned(training), pruned_gently(training), *ROUNDS[place:])


def _ways(model: Model, target: DeviceProfile) -> Iterator[Attempt]:
    if model.format.shipped_as in target.formats:
        yield Attempt(label=AS_GIVEN, pipeline=Pipeline())
    if model.format is Format.TFLITE or model.spec.quantized:
        return
    start: tuple[Pass, ...] = (ExportOnnx(),) if model.format is Format.TORCH else ()
    base = (*start, SimplifyOnnx())
    if ModelFormat.ONNX in target.formats:
        yield Attempt(label=ONNX_FLOAT, pipeline=Pipeline(*base), built_on=True)
    if ModelFormat.TFLITE in target.formats:
        yield Attempt(label=TFLITE_FLOAT, pipeline=Pipeline(*base, ExportTflite()), built_on=True)


def _padded(known: Known) -> Iterator[Attempt]:
    """Yield the float ONNX model with its channels padded to whole blocks; where there are none to pad it says so."""
    for plain in ways(known.case.model, known.case.target):
        if plain.label == ONNX_FLOAT:
            yield Attempt(label=ONNX_PADDED, pipeline=Pipeline(*plain.pipeline.steps, PadChannels()))


def _whole_onnx(known: Known, onnx: Tried) -> Iterator[Attempt]:
    base, operators = onnx.attempt.pipeline.steps, onnx.product.model.spec.operators
    if operators & (_CONVOLUTIONS | _DENSE):
        yield Attempt(label=U8S8, pipeline=Pipeline(*base, QuantizeStatic()), built_on=True)
        yield Attempt(label=S8S8, pipeline=Pipeline(*base, QuantizeStatic(activation=Activation.QINT8)))
    other = known.other_base
    if other is not None:  # int8 gains from whole blocks of channels where float loses, and the reverse happens
        form = "padded" if other.attempt.label == ONNX_PADDED else "not padded"
        yield Attempt(label=f"{U8S8}, {form}", pipeline=Pipeline(*other.attempt.pipeline.steps, QuantizeStatic()))
    if operators & (_DENSE | _RECURRENT) and not operators & _CONVOLUTIONS:
        yield Attempt(label="onnx int8 dynamic", pipeline=Pipeline(*base, QuantizeDynamic()))
    if known.objective is Objective.SIZE or operators & _FLOAT_ALONE:
        yield Attempt(label="onnx int8 weights", pipeline=Pipeline(*base, QuantizeWeights()))
    yield from _lighter(known, base, operators)


def _lighter(known: Known, base: tuple[Pass, ...], operators: frozenset[str]) -> Iterator[Attempt]:
    """Yield half precision where the target computes it, and for size the weights alone in 16 and in 4 bits."""
    if known.case.target.computes_fp16:
        yield Attempt(label="onnx fp16", pipeline=Pipeline(*base, ConvertFloat16(compute=True)))
    if known.objective is Objective.SIZE and not known.case.target.full_int8:
        yield Attempt(label="onnx fp16 weights", pipeline=Pipeline(*base, ConvertFloat16()))
        if operators & _DENSE and known.budget.max_drop is not None:  # who bounds no drop shall not get the coarsest
            yield Attempt(label="onnx int4 weights", pipeline=Pipeline(*base, QuantizeWeights(bits=4)))


def _whole_encoder(known: Known, onnx: Tried) -> Iterator[Attempt]:
    base = known.done(encoders.ARRANGED) or onnx
    steps = base.attempt.pipeline.steps
    yield Attempt(label="onnx int8 dynamic", pipeline=Pipeline(*steps, QuantizeDynamic()))
    yield from encoders.smoothed(base)
    yield from _lighter(known, steps, onnx.product.model.spec.operators)
    if known.objective is not Objective.SIZE:
        yield Attempt(label="onnx int8 weights", pipeline=Pipeline(*steps, QuantizeWeights()))


def _segment(onnx: Tried, layers: tuple[str, ...], segment: Segment) -> Attempt:
    order = operations(onnx.product.model)
    first = "" if segment.first == 0 else layers[segment.first]
    # what lies between two layers (an activation, an addition) is computed with the first of them
    last = "" if segment.last == len(layers) - 1 else order[order.index(layers[segment.last + 1]) - 1]
    label = f"onnx mixed u8s8 {segment.first + 1}-{segment.last + 1} of {len(layers)}"
    return Attempt(label=label, pipeline=Pipeline(*onnx.attempt.pipeline.steps, QuantizeStatic(first=first, last=last)))


def _layer_before(onnx: Tried, layers: tuple[str, ...], operation: str) -> int:
    """Return the place of the layer that the operation is computed with."""
    order = operations(onnx.product.model)
    return sum(order.index(layer) <= order.index(operation) for layer in layers) - 1


def _layers_inside(known: Known, step: QuantizeStatic) -> frozenset[str]:
    """Return the layers of the segment that the step quantizes."""
    onnx = known.float_base
    if onnx is None:
        return frozenset()
    order = operations(onnx.product.model)
    begin = order.index(step.first) if step.first else 0
    end = order.index(step.last) if step.last else len(order) - 1
    return frozenset(order[begin : end + 1]) & frozenset(known.layers(onnx))


def _nearly_smallest(known: Known, best: Tried) -> tuple[Tried, ...]:
    """Return the smallest accurate ONNX model of each kind of quantization, where it may end up as the smallest."""
    kinds: dict[type[Pass] | None, Tried] = {}
    for one in sorted(known.all, key=_size):
        steps = one.attempt.pipeline.steps
        near = _size(one) <= _MAY_END_SMALLER * _size(best) and one.product.model.format is Format.ONNX
        if near and known.is_accurate(one):
            kinds.setdefault(type(steps[-1]) if steps else None, one)
    return tuple(kinds.values())


def _size(one: Tried) -> int:
    return one.product.model.size_bytes


def _shortened(one: Tried, level: Level) -> Iterator[Attempt]:
    """Yield the attempt's file written short, as it is and as ONNX Runtime optimizes it."""
    yield _followed(one, "compact", CompactOnnx())
    if not any(
        isinstance(step, QuantizeWeights | ConvertFloat16) for step in one.attempt.pipeline.steps
    ):  # they would be float again
        yield _followed(one, "saved optimized, compact", SaveOptimized(level=level), CompactOnnx())


def _followed(one: Tried, form: str, *steps: Pass) -> Attempt:
    return Attempt(label=f"{one.attempt.label}, {form}", pipeline=Pipeline(*one.attempt.pipeline.steps, *steps))


def _repairs(known: Known, wounded: Tried) -> Iterator[Attempt]:
    """Yield what may bring the accuracy of a static int8 recipe back, the cheapest at run time first."""
    *base, step = wounded.attempt.pipeline.steps
    if not isinstance(step, QuantizeStatic):
        return
    label = wounded.attempt.label
    variations = {
        "mse": dataclasses.replace(step, method=CalibrationMethod.MSE),
        "percentile": dataclasses.replace(step, method=CalibrationMethod.PERCENTILE),
        "entropy": dataclasses.replace(step, method=CalibrationMethod.ENTROPY),
        "bias correction": dataclasses.replace(step, bias_correction=True),
        "adaptive rounding": dataclasses.replace(step, rounding=Rounding.ADAPTIVE),
        "mse, adaptive rounding": dataclasses.replace(step, method=CalibrationMethod.MSE, rounding=Rounding.ADAPTIVE),
    }
    for words, better in variations.items():
        yield Attempt(label=f"{label}, {words}", pipeline=Pipeline(*base, better))
    yield Attempt(label=f"{label}, equalized", pipeline=Pipeline(*base, EqualizeLayers(), step))
    inside = _layers_inside(known, step)
    worst = sorted((one for one in known.sensitivity() if one.layer in inside), key=lambda one: -one.error)
    for count in _WORST_KEPT:
        if count < len(worst):
            kept = tuple(one.layer for one in worst[:count])
            words = f"{count} worst layer{'s' if count > 1 else ''} float"
            yield Attempt(label=f"{label}, {words}", pipeline=Pipeline(*base, dataclasses.replace(step, keep=kept)))
