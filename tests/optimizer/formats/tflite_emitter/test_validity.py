from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from optimizer.errors import PassFailed, UnsupportedOperator
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.graph import Operation
from optimizer.formats.tflite_emitter.validity import foreseen, readable


def a_graph(nodes: str, *, outside: str = "(float[1,4] x) => (float[1,4] y)", **constants: object) -> bytes:
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : 18]> g {outside} {{ {nodes} }}')
    for name, values in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    content: bytes = model.SerializeToString()
    return content


def test_a_graph_that_onnx_runtime_refuses_is_refused_in_its_words() -> None:
    content = a_graph("y = MatMul(x, w)", w=np.ones((5, 4), dtype=np.float32))

    with pytest.raises(PassFailed, match="ONNX Runtime refuses this graph"):
        emit(content)


def test_weights_that_are_no_numbers_are_refused_by_name() -> None:
    content = a_graph("y = Add(x, b)", b=np.array([0.0, np.nan, 0.0, 0.0], dtype=np.float32))

    with pytest.raises(PassFailed, match=r"'b' of Add .* holds NaN"):
        emit(content)


def test_infinite_weights_are_refused_and_infinite_masks_are_not() -> None:
    weights = np.full((4, 4), np.inf, dtype=np.float32)
    mask = np.array([0.0, 0.0, -np.inf, -np.inf], dtype=np.float32)

    with pytest.raises(PassFailed, match="holds infinity"):
        emit(a_graph("y = MatMul(x, w)", w=weights))
    assert emit(a_graph("m = Add(x, b) y = Softmax(m)", b=mask)).content


def test_what_holds_nothing_is_refused() -> None:
    content = a_graph("y = Relu(x)", outside="(float[1,0] x) => (float[1,0] y)")

    with pytest.raises(PassFailed):
        emit(content)


def test_an_axis_that_is_none_of_the_inputs_is_refused() -> None:
    content = a_graph("y = Softmax<axis=1099511627776>(x)")

    with pytest.raises(UnsupportedOperator, match="its axis is 1099511627776, and its input has 2"):
        emit(content)


def test_a_file_without_a_version_of_operators_is_refused() -> None:
    model = onnx.load_from_string(a_graph("y = Relu(x)"))
    model.opset_import[0].domain = "elsewhere"

    with pytest.raises(PassFailed):
        emit(model.SerializeToString())


def test_an_empty_list_of_axes_squeezes_every_axis_of_size_one() -> None:
    outside = "(float[1,4,1] x) => (float[4] y)"

    found = emit(a_graph("y = Squeeze(x, axes)", outside=outside, axes=np.zeros(0, dtype=np.int64)))

    assert found.content


def test_what_python_raises_over_an_operation_names_it() -> None:
    operation = Operation(op="Conv", name="first", inputs=("x",), outputs=("y",), attributes={})

    with (
        pytest.raises(UnsupportedOperator, match=r"Conv at 'first' .* not foreseen \(KeyError: 'w'\)"),
        foreseen(operation),
    ):
        raise KeyError("w")


def test_what_python_raises_over_a_graph_is_a_refusal() -> None:
    with pytest.raises(PassFailed, match="not foreseen"), readable():
        raise IndexError("tuple index out of range")
