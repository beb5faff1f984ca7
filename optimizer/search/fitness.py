"""Whether a candidate may ship at all: the target runs it, and it holds every budget that its figures can decide."""

from __future__ import annotations

from collections.abc import Iterator

from device_profiles.profile import DeviceClass, DeviceProfile
from optimizer.formats.tflite_emitter.file import is_dynamic_range
from optimizer.microcontroller.resolver import missing_operators
from optimizer.model import Format, Model
from optimizer.search.budget import OptimizeBudget
from optimizer.search.candidate import Measured, Verdict
from optimizer.words import latency_in_words, points_in_words, size_in_words


def runs_on(model: Model, target: DeviceProfile) -> str | None:
    """Return why the target cannot run the model; None where it can."""
    if model.format.shipped_as not in target.formats:
        return f"{target.name} reads {', '.join(target.formats)}, not {model.format}"
    if target.full_int8 and not _is_fully_quantized(model):
        return f"{target.name} runs only fully quantized int8 models, and this one computes in float"
    micro = target.device_class is DeviceClass.MICROCONTROLLER and model.format is Format.TFLITE
    missing = missing_operators(model.spec.operators) if micro else ()
    if missing:
        return f"TensorFlow Lite Micro, which {target.name} runs, has no {', '.join(missing)}"
    if target.runs_tflite_runtime and model.format is Format.TFLITE and is_dynamic_range(model.content):
        return (
            f"{target.name} ({target.architecture}) has tflite-runtime alone, which answers dynamic-range files "
            "(8-bit weights, float activations) wrongly without a word"
        )
    return None


def memory_limit(target: DeviceProfile, budget: OptimizeBudget) -> int:
    """Return the limit on memory: on a microcontroller of the arena, as the model itself lies in its storage."""
    return budget.max_memory_bytes or target.model_memory_bytes


def ruled_out(
    one: Measured, target: DeviceProfile, budget: OptimizeBudget, *, on_target: bool
) -> tuple[Verdict, str] | None:
    """Return the verdict on a candidate that may not ship, with the reason; None where it may.

    Args:
        one: the candidate's figures.
        target: the device that it is for.
        budget: the limits.
        on_target: whether latency was taken on the target, so that a latency budget is decided.
    """
    unfit = runs_on(one.product.model, target)
    if unfit is not None:
        return Verdict.UNFIT, unfit
    over = "; ".join(_over_budget(one, target, budget, on_target=on_target))
    return (Verdict.OVER_BUDGET, over) if over else None


def _over_budget(one: Measured, target: DeviceProfile, budget: OptimizeBudget, *, on_target: bool) -> Iterator[str]:
    drop = one.fidelity.drop
    if budget.max_drop is not None and drop.value > budget.max_drop:
        yield (
            f"{one.fidelity.change} by {100 * drop.value:.2f} {one.fidelity.unit} "
            f"(95 %: {points_in_words(drop.low)} to {points_in_words(drop.high)}), over {100 * budget.max_drop:g}"
        )
    if budget.max_size_bytes is not None and one.size_bytes > budget.max_size_bytes:
        yield f"its size is {size_in_words(one.size_bytes)}, over {size_in_words(budget.max_size_bytes)}"
    limit = memory_limit(target, budget)
    if one.memory_bytes > limit:
        yield f"it takes {size_in_words(one.memory_bytes)} of memory, over {size_in_words(limit)}"
    micro, storage = target.device_class is DeviceClass.MICROCONTROLLER, target.storage_bytes
    if micro and storage is not None and one.size_bytes > storage:
        storage_words = f"{target.name}'s storage of {size_in_words(storage)}"
        yield f"its size is {size_in_words(one.size_bytes)}, over {storage_words}"
    longest_ms = budget.max_latency_ms
    if longest_ms is not None and on_target and one.latency.p95_ms > longest_ms:
        yield f"its p95 is {latency_in_words(one.latency.p95_ms)}, over {latency_in_words(longest_ms)}"


def _is_fully_quantized(model: Model) -> bool:
    tensors = (*model.inputs, *model.outputs)
    return model.spec.quantized and not any(spec.element.is_float for spec in tensors)
