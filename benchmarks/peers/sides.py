"""The files of one model that are compared, and how each is opened: the bare runtime, one thread, a batch of one.

A side takes the rows of the original's inputs, by its names. What a file needs beyond them (channels last, stored
integers) is part of calling it, so it is part of its time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.codec import from_plain
from contracts.preprocessing import Step, apply_steps, to_real, to_stored
from contracts.tensors import TensorSpec

Row = Mapping[str, NDArray[np.generic]]
Call = Callable[[Row], list[NDArray[np.generic]]]
LIST = "sides.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One file; ``adapter`` are the steps from the original's inputs to its own, plain."""

    name: str
    path: Path
    adapter: tuple[dict[str, Any], ...] = ()

    @property
    def is_tflite(self) -> bool:
        """Whether LiteRT reads it; ONNX Runtime reads all others."""
        return self.path.suffix == ".tflite"


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays by name into one ``.npz`` file."""
    np.savez(path, **arrays)  # type: ignore[arg-type] # numpy's stub takes every keyword for its own switch


def write_sides(sides: list[Side], folder: Path) -> None:
    """Write the list for another process."""
    plain = [{"name": side.name, "path": str(side.path.resolve()), "adapter": side.adapter} for side in sides]
    (folder / LIST).write_text(json.dumps(plain), encoding="utf-8")


def read_sides(folder: Path) -> list[Side]:
    """Return the list that another process wrote."""
    plain = json.loads((folder / LIST).read_text(encoding="utf-8"))
    return [Side(name=one["name"], path=Path(one["path"]), adapter=tuple(one["adapter"])) for one in plain]


def opened(side: Side, names: list[str]) -> Call:
    """Return a call that answers one row, every output in the file's order.

    Args:
        side: the file.
        names: the original's inputs, in its order.
    """
    return _tflite(side, names) if side.is_tflite else _onnx(side, names)


def _onnx(side: Side, names: list[str]) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(side.path.read_bytes(), options, providers=["CPUExecutionProvider"])
    own = [item.name for item in session.get_inputs()]
    if own == names and not side.adapter:
        return lambda row: session.run(None, row)
    steps = _steps(side)
    pairs = list(zip(own, names, strict=True))
    return lambda row: session.run(
        None, {mine: np.ascontiguousarray(apply_steps(steps, name, row[name])) for mine, name in pairs}
    )


def _tflite(side: Side, names: list[str]) -> Call:
    from ai_edge_litert.interpreter import Interpreter

    from optimizer.formats.quiet import quiet
    from optimizer.model import Model

    model = Model.load(side.path)
    with quiet():
        interpreter = Interpreter(model_content=side.path.read_bytes(), num_threads=1)
        interpreter.allocate_tensors()
    places = {item["name"]: item["index"] for item in interpreter.get_input_details()}
    outputs = [
        (item["index"], spec) for item, spec in zip(interpreter.get_output_details(), model.outputs, strict=True)
    ]
    inputs = [(places[spec.name], spec, name) for spec, name in zip(model.inputs, names, strict=True)]
    steps = _steps(side)

    def call(row: Row) -> list[NDArray[np.generic]]:
        for index, spec, name in inputs:
            interpreter.set_tensor(index, _fitted(row[name], steps, name, spec))
        interpreter.invoke()
        return [_real(interpreter.get_tensor(index), spec) for index, spec in outputs]

    return call


def _fitted(values: NDArray[np.generic], steps: tuple[Step, ...], name: str, spec: TensorSpec) -> NDArray[np.generic]:
    return to_stored(apply_steps(steps, name, values) if steps else values, spec)


def _real(values: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.generic]:
    return to_real(values, spec.quantization) if spec.quantization else values


def _steps(side: Side) -> tuple[Step, ...]:
    return tuple(from_plain(Step, step) for step in side.adapter)
