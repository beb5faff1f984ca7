"""Every tensor inside a model while it runs once, so that two models can be compared layer by layer.

The names are the file's own: an ONNX file's tensors, a torch program's values, a TFLite file's tensors.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.preprocessing import to_real
from contracts.tensors import Quantization
from optimizer.formats.quiet import quiet
from optimizer.model import Format

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InnerTensor:
    """One tensor that an operation gave: its real values, and the names that the operation read."""

    operator: str
    values: NDArray[np.generic]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inside:
    """One run of a model: its tensors by name in the file's order, and which of them are its outputs, in order."""

    tensors: Mapping[str, InnerTensor]
    outputs: tuple[str, ...]


def look_inside(model: Model, inputs: Mapping[str, NDArray[np.generic]]) -> Inside:
    """Return what the model's tensors hold for the inputs, given in the file's own names, types and shapes.

    Raises:
        LibraryMissing: the format's runtime is not installed.
        MeasureFailed: the runtime refuses the file or the inputs.
    """
    if model.format is Format.ONNX:
        return _inside_onnx(model, inputs)
    if model.format is Format.TFLITE:
        return _inside_tflite(model, inputs)
    return _inside_torch(model, inputs)


def _inside_onnx(model: Model, inputs: Mapping[str, NDArray[np.generic]]) -> Inside:
    """Run the file with every tensor of its outer graph made an output."""
    from optimizer.formats.onnx_format import OnnxSession, decode
    from optimizer.formats.onnx_graphs import entries

    proto = decode(model.content, model.name)
    outputs = tuple(str(item.name) for item in proto.graph.output)
    made = {name: entry for entry in entries(proto.graph) for name in entry.output if name}
    value = importlib.import_module("onnx").ValueInfoProto
    proto.graph.output.extend(value(name=name) for name in made if name not in outputs)
    session = OnnxSession(proto.SerializeToString(), name=model.name, threads=1)
    results = session.run(inputs)
    tensors = {
        name: InnerTensor(
            operator=entry.op_type, values=results[name], sources=tuple(filter(None, dict.fromkeys(entry.input)))
        )
        for name, entry in made.items()
        if isinstance(results[name], np.ndarray)
    }
    return Inside(tensors=tensors, outputs=outputs)


def _inside_torch(model: Model, inputs: Mapping[str, NDArray[np.generic]]) -> Inside:
    """Run the program value by value."""
    import torch

    from optimizer.formats.torch_format import open_program

    program, names = open_program(model.content, model.name)
    tensors: dict[str, InnerTensor] = {}

    class Recorder(torch.fx.Interpreter):
        """Keeps each value that an operation gives."""

        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor) and n.op == "call_function":
                sources = tuple(source.name for source in n.all_input_nodes)
                values = result.detach().clone().numpy()
                tensors[n.name] = InnerTensor(operator=_operator(n.target), values=values, sources=sources)
            return result

    given = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names]
    with quiet(), torch.no_grad():
        Recorder(program.module(check_guards=False)).run(*given)
    return Inside(tensors=tensors, outputs=tuple(map(str, program.graph_signature.user_outputs)))


def _operator(target: object) -> str:
    """Return ``conv2d`` for ``aten.conv2d.default``."""
    return str(target).removeprefix("aten.").partition(".")[0]


def _inside_tflite(model: Model, inputs: Mapping[str, NDArray[np.generic]]) -> Inside:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with quiet():
        interpreter = Interpreter(
            model_content=model.content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        for details in interpreter.get_input_details():
            interpreter.set_tensor(details["index"], inputs[details["name"]])
        interpreter.invoke()
    return Inside(
        tensors=dict(_tflite_tensors(interpreter)),
        outputs=tuple(details["name"] for details in interpreter.get_output_details()),
    )


def _tflite_tensors(interpreter: Any) -> Iterator[tuple[str, InnerTensor]]:
    known = {details["index"]: details for details in interpreter.get_tensor_details()}
    for operation in interpreter._get_ops_details():  # noqa: SLF001 the only list of operations
        sources = tuple(known[place]["name"] for place in operation["inputs"] if place in known)
        for place in operation["outputs"]:
            if place in known:
                values = _real(interpreter.get_tensor(place), known[place])
                yield known[place]["name"], InnerTensor(operator=operation["op_name"], values=values, sources=sources)


def _real(values: NDArray[np.generic], details: Mapping[str, Any]) -> NDArray[np.generic]:
    scales = details["quantization_parameters"]["scales"]
    points = details["quantization_parameters"]["zero_points"]
    if len(scales) != 1:
        return values
    return to_real(values, Quantization(scale=float(scales[0]), zero_point=int(points[0])))
