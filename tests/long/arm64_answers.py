"""``program FOLDER``: every model of the folder on its rows, one thread; runs on either machine, with numpy alone.

Reads ``NAME.onnx`` or ``NAME.tflite`` and ``NAME.npz`` (one array for each input, one row after the other) and writes
``NAME.answers.MACHINE.npz``: ``fast`` by the runtime's kernels for that machine, ``reference`` by LiteRT's plain ones.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]


def onnx_answers(path: Path, rows: Rows) -> dict[str, Any]:
    """Return the first output over the rows."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return {"fast": np.concatenate([session.run(None, row)[0] for row in rows])}


def tflite_answers(path: Path, rows: Rows) -> dict[str, Any]:
    """Return the first output over the rows, by both kinds of kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    answers = {}
    for name, kernels in (("fast", OpResolverType.AUTO), ("reference", OpResolverType.BUILTIN_REF)):
        interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1, experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
        places = {item["name"]: item["index"] for item in interpreter.get_input_details()}
        output, each = interpreter.get_output_details()[0]["index"], []
        for row in rows:
            for tensor, values in row.items():
                interpreter.set_tensor(places[tensor], values)
            interpreter.invoke()
            each.append(interpreter.get_tensor(output))
        answers[name] = np.concatenate(each)
    return answers


def main(folder: Path) -> None:
    """Answer for every model in the folder."""
    for path in sorted([*folder.glob("*.onnx"), *folder.glob("*.tflite")]):
        with np.load(path.with_name(f"{path.name}.npz"), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        count = len(next(iter(arrays.values())))
        rows = [{name: values[place : place + 1] for name, values in arrays.items()} for place in range(count)]
        answers = (onnx_answers if path.suffix == ".onnx" else tflite_answers)(path, rows)
        np.savez(path.with_name(f"{path.name}.answers.{platform.machine()}.npz"), **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
