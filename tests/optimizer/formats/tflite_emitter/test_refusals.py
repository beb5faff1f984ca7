"""What can't be written is refused by name, with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.errors import PassFailed, UnsupportedOperator
from optimizer.formats.tflite_emitter import SUPPORTED, Emitted, check_equal, emit
from tests.optimizer.formats.onnx_graphs import graph, node, numbers, weights

IMAGE = (1, 4, 8, 8)
UNWRITABLE: dict[str, tuple[Any, dict[str, Any], str]] = {
    "two groups": (node("Conv", "x w", "y", group=2), {"w": weights(4, 2, 3, 3)}, "2 groups"),
    "computed weights": (node("MatMul", "x x", "y"), {}, "is computed"),
    "edge padding": (node("Pad", "x p", "y", mode="edge"), {"p": numbers(0, 0, 1, 1, 0, 0, 1, 1)}, "'edge'"),
    "cutting": (node("Pad", "x p", "y"), {"p": numbers(0, 0, -1, 0, 0, 0, 0, 0)}, "cuts"),
    "dilated pool": (
        node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2]),
        {},
        "dilations",
    ),
    "a window in the padding alone": (
        node("MaxPool", "x", "y", kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1),
        {},
        "runtimes disagree",
    ),
    "lopsided average": (
        node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 0, 0, 0]),
        {},
        "padding",
    ),
}


def test_an_unknown_operator_is_refused_by_name_and_place_with_what_can_be_written() -> None:
    content = graph(node("Det", "x", "y"), inputs={"x": IMAGE})

    with pytest.raises(UnsupportedOperator, match=r"operator Det at 'det-y'") as caught:
        emit(content)

    assert caught.value.supported == SUPPORTED
    assert "Conv" in str(caught.value)


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_use_that_cannot_be_written_is_refused_with_the_reason(name: str) -> None:
    operator, constants, words = UNWRITABLE[name]
    content = graph(operator, inputs={"x": IMAGE}, constants=constants)

    with pytest.raises(UnsupportedOperator, match=words):
        emit(content)


def test_a_free_size_other_than_the_batch_is_refused() -> None:
    from onnx import TensorProto, helper

    free = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "height", 8])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = helper.make_graph([node("Relu", "x", "y")], "free", [free], [output])
    content = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()

    with pytest.raises(PassFailed, match="size 2 of input 'x' is free"):
        emit(content)


def test_a_file_that_answers_differently_is_not_believed() -> None:
    right = graph(node("Add", "x c", "y"), inputs={"x": (1, 4)}, constants={"c": weights(4)})
    wrong = emit(graph(node("Add", "x c", "y"), inputs={"x": (1, 4)}, constants={"c": weights(4) * 1.001}))

    with pytest.raises(PassFailed, match="differs from the original"):
        check_equal(right, wrong)


def test_a_file_that_cannot_be_loaded_is_not_believed() -> None:
    content = graph(node("Relu", "x", "y"), inputs={"x": (1, 4)})
    damaged = Emitted(content=emit(content).content[:80], channel_last=frozenset())

    with pytest.raises(PassFailed, match="can't be loaded"):
        check_equal(content, damaged)
