"""What can't be written is refused by name, with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import PassFailed, UnsupportedOperator
from optimizer.formats.tflite_emitter import SUPPORTED, Emitted, check_equal, emit
from optimizer.formats.tflite_emitter.table import VANISHING, as_markdown, nearest
from tests.optimizer.formats.onnx_graphs import graph, node, numbers, weights

IMAGE = (1, 4, 8, 8)
PAGE = Path(__file__).parents[4] / "docs" / "tflite-operators.md"
UNWRITABLE: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a window in the padding alone": (
        node("MaxPool", "x", "y", kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1),
        {},
        "runtimes disagree",
    ),
    "reflecting what it cuts": (
        node("Pad", "x p", "y", mode="reflect"),
        {"p": numbers(0, 0, -1, 0, 0, 0, 1, 0)},
        "cuts .negative pads. and its mode is 'reflect'; cut with Slice before",
    ),
}


@pytest.mark.parametrize(
    ("operator", "near"), [(node("GridSample", "x g", "y"), "Resize"), (node("MaxRoiPool", "x r", "y"), "MaxPool")]
)
def test_an_unknown_operator_is_refused_by_name_and_place_with_the_nearest_that_can_be_written(
    operator: Any, near: str
) -> None:
    operator.attribute.extend(pooled() if operator.op_type == "MaxRoiPool" else [])
    constants = {"g": weights(1, 3, 3, 2), "r": weights(1, 5)}
    content = graph(operator, inputs={"x": IMAGE}, constants=constants)

    with pytest.raises(UnsupportedOperator, match=f"operator {operator.op_type} at '{operator.name}'") as caught:
        emit(content)

    assert caught.value.supported == SUPPORTED
    assert caught.value.nearest == near
    assert f"the nearest that can is {near}" in str(caught.value)


def test_the_nearest_is_the_same_operator_of_another_domain_or_one_spelt_alike() -> None:
    assert nearest("com.microsoft.Gelu") == "Gelu"
    assert nearest("LeakyRelus") == "LeakyRelu"
    assert nearest("Zzz") == ""


def test_what_may_vanish_is_not_what_is_written_anyway() -> None:
    assert set(VANISHING) & set(SUPPORTED) == set()


def test_the_page_of_operators_is_made_from_the_code() -> None:
    assert PAGE.read_text() == as_markdown(), "run: edgeship recipe passes --operators > docs/tflite-operators.md"


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


def test_a_file_that_differs_on_real_rows_alone_is_not_believed() -> None:
    original = graph(node("Clip", "x low high", "y"), inputs={"x": (1, 4)}, constants=bounds(9.0))
    clipped = emit(graph(node("Clip", "x low high", "y"), inputs={"x": (1, 4)}, constants=bounds(8.0)))
    real = {"x": weights(2, 4) * 0 + 20}

    assert check_equal(original, clipped) == 0
    with pytest.raises(PassFailed, match="differs from the original"):
        check_equal(original, clipped, real=[real])


def test_ids_beyond_a_table_do_not_fail_the_conversion() -> None:
    from onnx import TensorProto, helper, numpy_helper

    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    table = numpy_helper.from_array(weights(2, 5), "table")
    body = helper.make_graph([node("Gather", "table ids", "y")], "embedding", [ids], [output], [table])
    content = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()

    assert check_equal(content, emit(content)) == 0


def test_a_file_that_cannot_be_loaded_is_not_believed() -> None:
    content = graph(node("Relu", "x", "y"), inputs={"x": (1, 4)})
    damaged = Emitted(content=emit(content).content[:80], channel_last=frozenset())

    with pytest.raises(PassFailed, match="can't be loaded"):
        check_equal(content, damaged)


def bounds(high: float) -> dict[str, Any]:
    """Return the bounds of a Clip."""
    return {"low": weights(1).reshape(()) * 0, "high": weights(1).reshape(()) * 0 + high}


def pooled() -> list[Any]:
    """Return the attribute that MaxRoiPool must have."""
    from onnx import helper

    return [helper.make_attribute("pooled_shape", [2, 2])]


def test_a_batch_normalization_of_computed_statistics_is_refused_with_the_reason() -> None:
    part = node("BatchNormalization", "x gamma beta mean spread", "y")
    rows = {"gamma": weights(4), "beta": weights(4), "mean": weights(4)}
    content = graph(part, inputs={"x": (1, 4, 5, 5), "spread": (4,)}, constants=rows)

    with pytest.raises(UnsupportedOperator, match="factors or statistics are computed"):
        emit(content)
