"""Operators by themselves and between convolutions, beside ONNX Runtime; ``test_generated`` tries them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.formats.tflite_emitter import check_equal, emit
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

IMAGE = (1, 3, 6, 5)
F = np.float32


def scalar(value: float) -> np.ndarray[Any, Any]:
    """Return a float32 constant of rank 0."""
    return np.asarray(value, dtype=F)


NORMALIZATION = {
    "gamma": weights(3),
    "beta": weights(3, seed=1),
    "mean": weights(3, seed=2),
    "var": weights(3) ** 2 + 1,
}
ONE_OPERATOR: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "Relu": (node("Relu", "x", "y"), IMAGE, {}),
    "Relu of a row": (node("Relu", "x", "y"), (1, 7), {}),
    "Clip 0..6": (node("Clip", "x low high", "y"), IMAGE, {"low": scalar(0), "high": scalar(6)}),
    "Clip -1..1": (node("Clip", "x low high", "y"), IMAGE, {"low": scalar(-1), "high": scalar(1)}),
    "Clip 0..": (node("Clip", "x low", "y"), IMAGE, {"low": scalar(0)}),
    "Sigmoid": (node("Sigmoid", "x", "y"), IMAGE, {}),
    "Tanh": (node("Tanh", "x", "y"), (1, 4, 9), {}),
    "Softmax of the last axis": (node("Softmax", "x", "y", axis=-1), (1, 10), {}),
    "Softmax of channels": (node("Softmax", "x", "y", axis=1), IMAGE, {}),
    "Add of a scalar": (node("Add", "x c", "y"), IMAGE, {"c": scalar(2.5)}),
    "Add by channel": (node("Add", "x c", "y"), IMAGE, {"c": weights(3, 1, 1)}),
    "Add by column": (node("Add", "x c", "y"), IMAGE, {"c": weights(5)}),
    "Sub from a constant": (node("Sub", "c x", "y"), IMAGE, {"c": weights(1, 3, 1, 1)}),
    "Mul by plane": (node("Mul", "x c", "y"), IMAGE, {"c": weights(6, 5)}),
    "Mul that widens": (node("Mul", "x c", "y"), (1, 1, 6, 5), {"c": weights(1, 3, 1, 1)}),
    "Mul that adds axes": (node("Mul", "x c", "y"), (1, 5), {"c": weights(1, 3, 1, 1)}),
    "Div by a constant": (node("Div", "x c", "y"), IMAGE, {"c": weights(3, 1, 1) ** 2 + 1}),
    "Gemm": (node("Gemm", "x w b", "y"), (1, 7), {"w": weights(7, 4), "b": weights(4)}),
    "Gemm turned and scaled": (
        node("Gemm", "x w b", "y", transB=1, alpha=0.5, beta=2.0),
        (1, 7),
        {"w": weights(4, 7), "b": weights(1, 4)},
    ),
    "Gemm without a row": (node("Gemm", "x w", "y"), (1, 7), {"w": weights(7, 4)}),
    "MatMul of a row": (node("MatMul", "x w", "y"), (1, 7), {"w": weights(7, 4)}),
    "MatMul of rank 3": (node("MatMul", "x w", "y"), (1, 6, 7), {"w": weights(7, 4)}),
    "Transpose": (node("Transpose", "x", "y", perm=[0, 2, 3, 1]), IMAGE, {}),
    "Transpose of all": (node("Transpose", "x", "y", perm=[0, 3, 1, 2]), IMAGE, {}),
    "Flatten": (node("Flatten", "x", "y"), IMAGE, {}),
    "Reshape": (node("Reshape", "x s", "y"), IMAGE, {"s": numbers(0, 5, -1)}),
    "Squeeze": (node("Squeeze", "x a", "y"), (1, 3, 1, 5), {"a": numbers(2)}),
    "Unsqueeze": (node("Unsqueeze", "x a", "y"), (1, 3, 5), {"a": numbers(2)}),
    "ReduceMean of rows": (node("ReduceMean", "x a", "y", keepdims=0), (1, 6, 7), {"a": numbers(1)}),
    "ReduceMean kept": (node("ReduceMean", "x a", "y", keepdims=1), IMAGE, {"a": numbers(-1)}),
    "Pad with zeros": (node("Pad", "x p", "y"), IMAGE, {"p": numbers(0, 0, 1, 2, 0, 0, 3, 0)}),
    "Pad with a number": (node("Pad", "x p v", "y"), IMAGE, {"p": numbers(0, 1, 0, 0, 0, 0, 2, 0), "v": scalar(1.5)}),
    "Pad by reflection": (node("Pad", "x p", "y", mode="reflect"), IMAGE, {"p": numbers(0, 0, 1, 2, 0, 0, 1, 1)}),
    "BatchNormalization": (node("BatchNormalization", "x gamma beta mean var", "y"), IMAGE, NORMALIZATION),
    "Identity": (node("Identity", "x", "y"), IMAGE, {}),
    "Dropout": (node("Dropout", "x", "y"), IMAGE, {}),
    "Concat": (node("Concat", "x c", "y", axis=1), IMAGE, {"c": weights(1, 2, 6, 5)}),
    "Constant": (node("Add", "x c", "y"), (1, 4), {"c": weights(4)}),
}


@pytest.mark.parametrize("name", ONE_OPERATOR)
def test_one_operator_answers_as_the_original(name: str) -> None:
    operator, shape, constants = ONE_OPERATOR[name]

    result = emitted(graph(operator, inputs={"x": shape}, constants=constants))

    assert result.content[4:8] == b"TFL3"


@pytest.mark.parametrize("name", ONE_OPERATOR)
def test_one_operator_between_convolutions_answers_as_the_original(name: str) -> None:
    operator, shape, constants = ONE_OPERATOR[name]
    channels, rank = shape[1], len(shape)
    kernel = {"kernel": weights(channels, channels, *(1,) * (rank - 2))}
    before = node("Conv" if rank > 2 else "MatMul", "image kernel", "x")

    result = emitted(graph(before, operator, inputs={"image": shape}, constants={**constants, **kernel}))

    assert operators(result)["CONV_2D" if rank > 2 else "FULLY_CONNECTED"] >= 1


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("other", [(1, 3, 6, 5), (1, 3, 1, 1), (1, 1, 6, 1)])
def test_two_computed_sides_broadcast_as_in_the_original(op: str, other: tuple[int, ...]) -> None:
    parts = (node("Sigmoid", "b", "positive"), node(op, "a positive", "y"))

    result = emitted(graph(*parts, inputs={"a": IMAGE, "b": other}))

    assert operators(result)[op.upper()] == 1


def test_a_computed_side_of_lower_rank_is_raised() -> None:
    parts = (node("Tanh", "b", "flat"), node("Relu", "a", "image"), node("Add", "flat image", "y"))

    result = emitted(graph(*parts, inputs={"a": (1, 3, 6, 5), "b": (6, 5)}, free_batch=False))

    assert operators(result)["ADD"] == 1


@pytest.mark.parametrize("power", [1, 2])
def test_a_row_of_zeros_has_no_direction_and_stays_zeros(power: int) -> None:
    content = graph(node("LpNormalization", "x", "y", axis=-1, p=power), inputs={"x": (1, 6)})
    rows = ({"x": np.zeros((1, 6), F)}, {"x": np.full((1, 6), 1e-18, F)}, {"x": np.full((1, 6), np.nan, F)})

    worst = check_equal(content, emit(content), rows=0, real=rows)

    assert worst <= 1e-5


def test_outputs_keep_their_names_and_their_order() -> None:
    parts = (node("Relu", "x", "first"), node("Sigmoid", "x", "second"), node("Identity", "x", "third"))

    result = emitted(graph(*parts, inputs={"x": IMAGE}, outputs="third first second"))

    assert tensor_names(result.content) == (["x"], ["third", "first", "second"])


def test_the_same_model_gives_the_same_bytes() -> None:
    content = graph(node("Conv", "x w", "y"), inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3)})

    assert emitted(content).content == emitted(content).content


def test_any_batch_can_be_set_in_the_interpreter() -> None:
    from ai_edge_litert.interpreter import Interpreter

    parts = (node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("Gemm", "f v", "y"))
    content = graph(*parts, inputs={"x": IMAGE}, constants={"w": weights(4, 3, 3, 3), "v": weights(48, 2)})
    interpreter = Interpreter(model_content=emitted(content).content)

    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [5, 6, 5, 3])
    interpreter.allocate_tensors()
    interpreter.invoke()

    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).shape == (5, 2)


def tensor_names(content: bytes) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs, in the file's order."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    details = interpreter.get_input_details(), interpreter.get_output_details()
    return [item["name"] for item in details[0]], [item["name"] for item in details[1]]
