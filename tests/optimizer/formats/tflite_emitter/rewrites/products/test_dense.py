"""Products and what surrounds them: which operators they become, beside ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter import emit
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

F = np.float32
TOKENS = (1, 6, 8)


def scalar(value: float) -> NDArray[Any]:
    """Return a float32 constant of rank 0."""
    return np.asarray(value, dtype=F)


def test_a_product_and_its_sum_are_one_operator() -> None:
    parts = (node("MatMul", "x w", "p"), node("Add", "b p", "y"))

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants={"w": weights(8, 4), "b": weights(4)}))

    assert operators(result) == {"FULLY_CONNECTED": 1}


def test_factors_and_batch_normalization_go_into_the_product_before_them() -> None:
    names = ("gamma", "beta", "mean", "var")
    parts = (
        node("Gemm", "x w b", "p"),
        node("BatchNormalization", f"p {' '.join(names)}", "n"),
        node("Div", "n half", "d"),
        node("Sub", "b d", "s"),
        node("Relu", "s", "y"),
    )
    constants = {"w": weights(8, 4), "b": weights(4), "half": scalar(0.5)}
    constants |= {name: np.abs(weights(4, seed=place)) for place, name in enumerate(names)}

    result = emitted(graph(*parts, inputs={"x": (1, 8)}, constants=constants))

    assert operators(result) == {"FULLY_CONNECTED": 1}


def test_a_transposed_right_side_costs_nothing() -> None:
    parts = (
        node("Tanh", "x", "a"),
        node("Transpose", "x", "t", perm=[0, 2, 1]),
        node("MatMul", "a t", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": TOKENS}))

    assert operators(result) == {"TANH": 1, "BATCH_MATMUL": 1}


def test_two_transposed_sides_give_the_transposed_product() -> None:
    parts = (
        node("Transpose", "a", "left", perm=[0, 2, 1]),
        node("Transpose", "b", "right", perm=[0, 2, 1]),
        node("MatMul", "left right", "p"),
        node("Transpose", "p", "y", perm=[0, 2, 1]),
    )

    result = emitted(graph(*parts, inputs={"a": (1, 6, 8), "b": (1, 3, 6)}))

    assert operators(result) == {"BATCH_MATMUL": 1}


def test_movements_around_a_product_cancel() -> None:
    parts = (
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("Reshape", "t flat", "f"),
        node("Gemm", "f w", "g"),
        node("Reshape", "g back", "r"),
        node("Transpose", "r", "y", perm=[1, 0, 2]),
    )
    constants: dict[str, NDArray[Any]] = {"flat": numbers(-1, 8), "back": numbers(6, -1, 4), "w": weights(8, 4)}

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants=constants))

    assert operators(result) == {"FULLY_CONNECTED": 1}


@pytest.mark.parametrize("order", ["x a half", "half a x", "half x a"])
def test_gelu_is_found_in_any_order_of_its_factors(order: str) -> None:
    first, second, third = order.split()
    parts = (
        node("Div", "x root", "d"),
        node("Erf", "d", "e"),
        node("Add", "one e", "a"),
        node("Mul", f"{first} {second}", "m"),
        node("Mul", f"m {third}", "y"),
    )
    constants = {"root": scalar(2**0.5), "one": scalar(1), "half": scalar(0.5)}

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants=constants))

    assert operators(result) == {"GELU": 1}


def test_what_is_almost_gelu_is_left_as_it_is() -> None:
    parts = (
        node("Mul", "x third", "d"),
        node("Erf", "d", "e"),
        node("Add", "one e", "a"),
        node("Mul", "x a", "m"),
        node("Mul", "m half", "y"),
    )
    constants = {"third": scalar(0.3), "one": scalar(1), "half": scalar(0.5)}

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants=constants))

    assert operators(result) != {"GELU": 1}


def layer_norm_over(axis: int) -> tuple[object, ...]:
    """Return layer normalization spelt out over one axis of an image."""
    return (
        node("ReduceMean", "x", "m", axes=[axis]),
        node("Sub", "x m", "c"),
        node("Pow", "c two", "q"),
        node("ReduceMean", "q", "v", axes=[axis]),
        node("Add", "v eps", "s"),
        node("Sqrt", "s", "r"),
        node("Div", "c r", "n"),
        node("Mul", "n gamma", "g"),
        node("Add", "g beta", "y"),
    )


@pytest.mark.parametrize(("axis", "shape"), [(1, (3, 1, 1)), (3, (5,))])
def test_layer_normalization_spelt_out_is_as_short_as_the_operator(axis: int, shape: tuple[int, ...]) -> None:
    constants = {"two": scalar(2), "eps": scalar(1e-5), "gamma": weights(*shape), "beta": weights(*shape, seed=1)}
    content = graph(*layer_norm_over(axis), inputs={"x": (1, 3, 4, 5)}, constants=constants, opset=17)

    result = emitted(content)

    assert sum(operators(result).values()) == 9
    assert operators(result)["MUL"] == 3


def test_factor_and_offset_go_into_the_products_that_read_the_normalization() -> None:
    parts = (node("LayerNormalization", "x gamma beta", "n"), node("MatMul", "n w", "y"))
    constants = {"gamma": weights(8), "beta": weights(8, seed=1), "w": weights(8, 4)}

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants=constants))

    assert operators(result) == {"MEAN": 2, "SUB": 1, "MUL": 2, "ADD": 1, "RSQRT": 1, "FULLY_CONNECTED": 1}


def test_a_stream_that_is_only_normalized_is_centered_in_its_products() -> None:
    parts = (
        node("MatMul", "x w", "a"),
        node("LayerNormalization", "a one", "n"),
        node("MatMul", "n w", "b"),
        node("Add", "a b", "s"),
        node("LayerNormalization", "s one", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants={"w": weights(8, 8), "one": np.ones(8, dtype=F)}))

    assert operators(result) == {"FULLY_CONNECTED": 2, "ADD": 3, "MUL": 4, "MEAN": 2, "RSQRT": 2}


def test_a_stream_that_is_shown_keeps_its_mean() -> None:
    parts = (node("MatMul", "x w", "a"), node("LayerNormalization", "a one", "y"))
    constants = {"w": weights(8, 8), "one": np.ones(8, dtype=F)}

    result = emitted(graph(*parts, inputs={"x": TOKENS}, constants=constants, outputs="y a"))

    assert operators(result)["SUB"] == 1


@pytest.mark.parametrize(
    ("equation", "reason"), [("bii->bi", "no letter twice"), ("bij,bjk,bkl->bil", "one or two values")]
)
def test_an_equation_that_is_not_written_is_named(equation: str, reason: str) -> None:
    names = " ".join("abc"[: equation.count(",") + 1])
    content = graph(node("Einsum", names, "y", equation=equation), inputs=dict.fromkeys(names.split(), (1, 3, 3)))

    with pytest.raises(UnsupportedOperator, match=reason) as refused:
        emit(content)

    assert equation in str(refused.value)


def test_integers_are_not_multiplied() -> None:
    parts = (node("Cast", "x", "i", to=6), node("MatMul", "i w", "p"), node("Cast", "p", "y", to=1))
    content = graph(*parts, inputs={"x": TOKENS}, constants={"w": np.ones((8, 4), dtype=np.int32)})

    with pytest.raises(UnsupportedOperator, match="int32"):
        emit(content)
