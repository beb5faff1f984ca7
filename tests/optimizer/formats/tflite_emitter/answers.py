"""Running a case: the written file beside ONNX Runtime, row by row and, where the batch is free, all rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.errors import UnsupportedOperator
from optimizer.formats.onnx_format import OnnxSession
from optimizer.formats.tflite_emitter import Emitted, emit
from optimizer.formats.tflite_emitter.forms import RecurrentForm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.optimizer.formats.tflite_emitter.cases.case import Case

TOLERANCE_RATIO = 1e-5
Rows = Mapping[str, "NDArray[Any]"]


def check_case(case: Case, *, recurrent: RecurrentForm = RecurrentForm.SEQUENCE) -> Emitted | None:
    """Return the emitted file after it answered as ONNX Runtime does; None where the use was refused and may be."""
    try:
        emitted = emit(case.content, recurrent=recurrent)
    except UnsupportedOperator:
        if not case.refusable:
            raise
        return None
    original = OnnxSession(case.content, name="the original", threads=1)
    free = _free_inputs(case.content)
    for inputs in (*case.inputs, _together(case, free)) if free and not emitted.fixed_batch else case.inputs:
        expected, actual = original.run(inputs), answers(emitted, inputs)
        for name, array in expected.items():
            _compare(array, actual[name], name)
    return emitted


def answers(emitted: Emitted, inputs: Rows) -> dict[str, NDArray[Any]]:
    """Return what the written file answers, its inputs resized to the given ones."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=emitted.content, num_threads=1)
    run = interpreter.get_signature_runner("serving_default")
    turned = {
        name: np.ascontiguousarray(np.moveaxis(array, 1, -1)) if name in emitted.channel_last else array
        for name, array in inputs.items()
    }
    answered: dict[str, NDArray[Any]] = run(**{name: turned[name] for name in run.get_input_details()})
    return answered


def _compare(expected: Any, actual: NDArray[Any], name: str) -> None:
    wanted = np.asarray(expected)
    assert wanted.shape == actual.shape, f"{name}: {wanted.shape} became {actual.shape}"
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(actual, wanted, err_msg=name)
        return
    largest = float(np.abs(wanted).max(initial=0.0))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=TOLERANCE_RATIO * largest, err_msg=name)


def _free_inputs(content: bytes) -> frozenset[str]:
    import onnx

    given = onnx.load_from_string(content).graph.input
    return frozenset(
        item.name for item in given if any(not dim.HasField("dim_value") for dim in item.type.tensor_type.shape.dim)
    )


def _together(case: Case, free: frozenset[str]) -> dict[str, NDArray[Any]]:
    """Return all rows as one batch."""
    return {
        name: np.concatenate([row[name] for row in case.inputs]) if name in free else np.asarray(array)
        for name, array in case.inputs[0].items()
    }
