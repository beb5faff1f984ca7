"""ONNX to simpler ONNX: constants folded, shape arithmetic and dead branches gone, means of images pooled."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

_FOLDED: Final = frozenset(
    {"Cast", "Concat", "Constant", "ConstantOfShape", "Dropout", "Equal", "Expand", "Gather", "Identity", "Range"}
    | {"Shape", "Slice", "Squeeze", "Unsqueeze", "Where"}
)
"""Operators that mostly compute shapes: whether they stay is known only afterwards."""


@dataclass(frozen=True, kw_only=True)
class SimplifyOnnx(Pass):
    """Simplify the graph with onnxsim, checked by running both on random inputs."""

    name: ClassVar[str] = "simplify-onnx"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxsim", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxsim")
    equivalent: ClassVar[bool] = True
    version: ClassVar[int] = 2

    check_runs: int = field(default=1, metadata={"doc": "how often the result is compared on random inputs"})

    def result(self, spec: ModelSpec) -> ModelSpec:
        """Return the spec without the operators that folding may remove."""
        return dataclasses.replace(spec, operators=spec.operators - _FOLDED)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the simplified model.

        Raises:
            PassFailed: onnxsim fails, or its result answers differently.
        """
        del seen
        import onnx

        from optimizer.formats.onnx_format import parse, runtime_errors
        from optimizer.passes.export_onnx import strip
        from optimizer.passes.static.preparation import pool_means

        onnxsim = _onnxsim()
        proto = parse(model.content, model.name)
        shapes = {spec.name: [1, *spec.shape[1:]] for spec in model.inputs if spec.shape[:1] == (-1,)}
        failures: tuple[type[Exception], ...] = (RuntimeError, MemoryError, *runtime_errors())
        try:
            simple, same = onnxsim.simplify(proto, check_n=self.check_runs, test_input_shapes=shapes or None)
        except failures as error:
            told = str(error).strip()[:160]
            raise PassFailed(f"simplify-onnx: onnxsim cannot read or run {model.name} ({told})") from error
        if not same:
            raise PassFailed(f"simplify-onnx: the simplified {model.name} answers differently; leave this pass out")
        simple = onnx.shape_inference.infer_shapes(simple)
        pool_means(simple.graph)
        del simple.graph.value_info[:]
        strip(simple)
        content: bytes = simple.SerializeToString(deterministic=True)
        return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)


def _onnxsim() -> Any:
    """Return onnxsim, imported without torch where nobody has imported that: it takes two seconds and is not used."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment] # says to the import system: not there
    try:
        return importlib.import_module("onnxsim")
    finally:
        if hidden:
            del sys.modules["torch"]
