"""Float TFLite to full int8, inputs and outputs included, with ai-edge-quantizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed, first_line
from optimizer.formats.quiet import quiet
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ranges: TypeAlias = dict[str, dict[str, Any]]
"""What ai-edge-quantizer knows of each tensor: ``min`` and ``max`` arrays, and whatever else it keeps."""

_SIGNATURE = "serving_default"


@dataclass(frozen=True, kw_only=True)
class QuantizeTflite(Pass):
    """Quantize weights (per channel) and activations to int8 by the ranges of calibration rows."""

    name: ClassVar[str] = "quantize-tflite"
    accepts: ClassVar[Format] = Format.TFLITE
    produces: ClassVar[Format] = Format.TFLITE
    needs: ClassVar[tuple[str, ...]] = ("ai_edge_quantizer", "ai_edge_litert")
    tools: ClassVar[tuple[str, ...]] = ("ai-edge-quantizer", "ai-edge-litert")
    changes_tensors: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True

    rows: int = field(default=100, metadata={"doc": "calibration rows whose ranges are taken"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a model that is quantized already and to no rows at all."""
        del target
        if spec.quantized:
            yield "the model is quantized already; give the float model"
        if self.rows < 1:
            yield f"rows={self.rows}: at least one calibration row is needed"

    def observes(self, spec: ModelSpec) -> Wants:
        """Return how many calibration rows are wanted."""
        del spec
        return Wants(rows=self.rows)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the int8 file.

        Raises:
            PassFailed: the quantizer can't do it, or leaves a tensor in float.
        """
        from optimizer.formats.tflite_format import float_tensors

        content = _quantized(model, seen)
        left = float_tensors(content)
        if left:
            named = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
            raise PassFailed(
                f"quantize-tflite: {len(left)} tensors stay float ({named}): ai-edge-quantizer has no int8 form of "
                "what makes them; use the float file, or rebuild the model without that operator"
            )
        return Model.from_bytes(Format.TFLITE, content, name=model.name, adapter=model.adapter)


def _quantized(model: Model, seen: Observations) -> bytes:
    """Return ai-edge-quantizer's ``static_wi8_ai8`` of the model; its progress bar is kept off the terminal."""
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(bytearray(model.content))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    try:
        with quiet():
            ranges = _widest(tool.calibrate({_SIGNATURE: [row]}, num_threads=1) for row in _one_by_one(seen))
            result = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError) as error:
        raise PassFailed(
            f"quantize-tflite: ai-edge-quantizer can't quantize {model.name} ({first_line(error)}); use the float file"
        ) from error
    return bytes(result.quantized_model)


def _one_by_one(seen: Observations) -> Iterator[dict[str, NDArray[np.generic]]]:
    """Yield each calibration row with a batch of 1."""
    for place in range(seen.count):
        yield {name: values[place : place + 1] for name, values in seen.rows.items()}


def _widest(calibrations: Iterable[Ranges]) -> Ranges:
    """Return for each tensor the smallest and the largest value of all rows.

    The tool's own way, a moving average over rows, cuts off what rows late in the file have in common.
    """
    widest: Ranges = {}
    for ranges in calibrations:
        for tensor, now in ranges.items():
            before = widest.get(tensor, now)
            widest[tensor] = {
                **now,
                "min": np.minimum(before["min"], now["min"]),
                "max": np.maximum(before["max"], now["max"]),
            }
    return widest
