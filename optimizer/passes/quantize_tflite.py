"""Float TFLite to integers or half precision, with ai-edge-quantizer and our own look at the tensors' ranges."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from device_profiles.profile import DeviceClass, DeviceProfile
from optimizer.calibration.ranges import CalibrationMethod
from optimizer.errors import ModelError, PassFailed, first_line
from optimizer.formats.quiet import quiet
from optimizer.microcontroller.resolver import missing_operators
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants
from optimizer.passes.tflite_quantization.recipes import Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optimizer.calibration.statistics import Statistics
    from optimizer.passes.integer_lstm.outside import Prepared
    from optimizer.passes.tflite_quantization.ranges import Ranges

_SEQUENCE_LSTM: Final = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_QUANTIZED: Final = "the model is quantized already; give the float model"
_NAMED: Final = 5
"""How many tensors a message names."""


@dataclass(frozen=True, kw_only=True)
class QuantizeTflite(Pass):
    """Quantize weights (per channel) and activations by the ranges of calibration rows, or weights alone."""

    name: ClassVar[str] = "quantize-tflite"
    accepts: ClassVar[Format] = Format.TFLITE
    produces: ClassVar[Format] = Format.TFLITE
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("ai_edge_quantizer", "ai_edge_litert", "flatbuffers")
    tools: ClassVar[tuple[str, ...]] = ("ai-edge-quantizer", "ai-edge-litert", "flatbuffers")
    changes_tensors: ClassVar[bool] = True
    quantizes: ClassVar[bool] = True

    precision: Precision = field(default=Precision.INT8, metadata={"doc": "what becomes integer, or half precision"})
    method: CalibrationMethod = field(default=CalibrationMethod.MINMAX, metadata={"doc": "how ranges are chosen"})
    percentile: float = field(default=99.99, metadata={"doc": "percent of values that method percentile keeps"})
    rows: int = field(default=128, metadata={"doc": "calibration rows, at least 1; none for weights alone"})
    keep: tuple[str, ...] = field(default=(), metadata={"doc": "tensors whose operators stay float"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a model that is quantized already, to fields out of range, to what the target answers wrongly."""
        if any(end.quantization is not None for end in (*spec.inputs, *spec.outputs)):
            yield _QUANTIZED
        elif "DEQUANTIZE" in spec.operators and not spec.quantized:
            yield "the model's weights are in half precision already; give the float model"
        if self.precision.calibrates and self.rows < 1:
            yield f"rows={self.rows}: at least one calibration row is needed"
        if not 50 < self.percentile <= 100:
            yield f"percentile={self.percentile} is not above 50 and at most 100"
        if target.full_int8 and self.precision is not Precision.INT8:
            yield f"{target.name} runs only fully quantized int8 models, and precision {self.precision} leaves floats"
        missing = missing_operators(spec.operators) if target.device_class is DeviceClass.MICROCONTROLLER else ()
        if missing:
            yield f"TensorFlow Lite Micro, which {target.name} runs, has no {', '.join(missing)}"
        if self.precision is Precision.DYNAMIC and target.runs_tflite_runtime:
            yield (
                f"{target.name} ({target.architecture}) has tflite-runtime alone, which answers dynamic-range files "
                "wrongly without a word; take precision int8 or weights"
            )

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for statistics over ``rows`` rows, where activations become integer; for an LSTM's, for the rows too."""
        rows = max(self.rows, 1) if self.precision.calibrates else 0
        return Wants(rows=rows if self._in_int8 and _SEQUENCE_LSTM in spec.operators else 0, statistics_rows=rows)

    def result(self, spec: ModelSpec) -> ModelSpec:
        """Return what is known of the result: half precision is no quantization."""
        return dataclasses.replace(super().result(spec), quantized=self.precision.in_integers)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the quantized file; a file whose weights alone are stored small is taken for the float one.

        Raises:
            PassFailed: the activations are quantized already, the quantizer can't do it, nothing was quantized, or a
                tensor stays float that should not.
        """
        from optimizer.formats.tflite_emitter.file import read_file, tensor_names, write_file
        from optimizer.passes.integer_lstm.outside import finish
        from optimizer.passes.tflite_quantization.biases import widen_biases
        from optimizer.passes.tflite_quantization.compact import compact
        from optimizer.passes.tflite_quantization.floats import widen_weights

        file = read_file(model.content)
        if not widen_weights(file):
            raise PassFailed(f"{self.name}: {model.name}: {_QUANTIZED}")
        for tensor, unique in zip(file.subgraphs[0].tensors, tensor_names(file), strict=True):
            tensor.name = unique.encode()  # the quantizer knows tensors by name
        self._check_kept(tensor_names(file), model.name)
        prepared = self._prepared(file, seen.rows, model.name)
        ranges = self._ranges(file, seen.statistics, model.name, prepared)
        quantized = read_file(self._quantized(file, ranges, model.name, (*self.keep, *prepared.kept)))
        finish(quantized, prepared, ranges or {})
        self._check_changed(quantized, model.name)
        self._check_left(quantized)
        widen_biases(quantized, file)
        compact(quantized, inputs=[one.name for one in model.inputs], outputs=[one.name for one in model.outputs])
        try:
            return Model.from_bytes(Format.TFLITE, write_file(quantized), name=model.name, adapter=model.adapter)
        except ModelError as error:
            raise PassFailed(
                f"{self.name}: what ai-edge-quantizer makes of {model.name} is refused by LiteRT: {first_line(error)}"
            ) from error

    @property
    def _in_int8(self) -> bool:
        return self.precision in (Precision.INT8, Precision.MIXED)

    def _prepared(self, file: Any, rows: Mapping[str, NDArray[np.generic]], name: str) -> Prepared:
        """Return what is to be known of the file's recurrent operators: LSTMs become integers here, not by the tool.

        Raises:
            PassFailed: there is an LSTM, and no row.
        """
        from optimizer.passes.integer_lstm.outside import UNTOUCHED, prepare

        try:
            return prepare(file, rows, in_integers=self._in_int8) if self.precision.calibrates else UNTOUCHED
        except ValueError as error:
            raise PassFailed(f"{self.name}: {name}: {first_line(error)}; use the float file") from error

    def _ranges(self, file: Any, statistics: Statistics | None, name: str, prepared: Prepared) -> Ranges | None:
        """Return what the tool is told of each tensor; None where activations stay float.

        Raises:
            PassFailed: there are no statistics.
        """
        from optimizer.passes.integer_lstm.outside import with_even_ranges
        from optimizer.passes.tflite_quantization.ranges import ranges_of

        if not self.precision.calibrates:
            return None
        if statistics is None:
            raise PassFailed(f"{self.name}: there are no statistics of {name}; give calibration rows")
        found = ranges_of(file, statistics, self.method, percentile=self.percentile, name=name)
        if not found:
            raise PassFailed(f"{self.name}: {name} computes on integers alone: there is nothing to quantize")
        return with_even_ranges(found, prepared)

    def _quantized(self, file: Any, ranges: Ranges | None, name: str, keep: Sequence[str]) -> bytes:
        """Return the tool's result; its progress bar is kept off the terminal.

        Raises:
            PassFailed: the tool fails.
        """
        from ai_edge_quantizer import quantizer

        from optimizer.formats.tflite_emitter.file import write_file
        from optimizer.passes.tflite_quantization.recipes import recipe_of

        tool = quantizer.Quantizer(bytearray(write_file(file)))
        try:
            with quiet():
                tool.load_quantization_recipe(recipe_of(self.precision, keep))
                result = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        except (ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise PassFailed(
                f"{self.name}: ai-edge-quantizer can't quantize {name} ({first_line(error)}); name the tensor that its "
                "operator gives in keep, or use the float file"
            ) from error
        return bytes(result.quantized_model)

    def _check_kept(self, names: list[str], name: str) -> None:
        unknown = sorted(set(self.keep) - set(names))
        if unknown:
            raise PassFailed(f"{self.name}: {name} has no tensor {', '.join(map(repr, unknown))}; correct keep")

    def _check_changed(self, file: Any, name: str) -> None:
        """Refuse a result that computes and stores what the float file does.

        Raises:
            PassFailed: no constant became smaller.
        """
        from optimizer.formats.tflite_emitter.file import element_names, is_constant

        small = {"FLOAT16"} if self.precision is Precision.FP16 else {"INT8", "INT16"}
        elements = element_names()
        tensors = file.subgraphs[0].tensors
        constants_alone = not self.precision.calibrates
        if not any(
            elements[tensor.type] in small and (is_constant(file, tensor) or not constants_alone) for tensor in tensors
        ):
            raise PassFailed(
                f"{self.name}: precision {self.precision} changes nothing in {name}: ai-edge-quantizer has no such "
                "form of its operators; leave this pass out"
            )

    def _check_left(self, file: Any) -> None:
        """Refuse float tensors in a file that is to be int8 throughout, naming the operators that make them.

        Raises:
            PassFailed: there are some.
        """
        from optimizer.passes.tflite_quantization.leftovers import leftovers

        left = leftovers(file, self.keep) if self.precision is Precision.INT8 else ()
        if not left:
            return
        named = ", ".join(one.tensor for one in left[:_NAMED])
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        operators = ", ".join(sorted({one.operator for one in left} - {""})) or "what makes them"
        raise PassFailed(
            f"{self.name}: {len(left)} tensors stay float ({named}{more}): ai-edge-quantizer has no int8 form of "
            f"{operators}; take precision mixed, name them in keep, or rebuild the model without that operator"
        )
