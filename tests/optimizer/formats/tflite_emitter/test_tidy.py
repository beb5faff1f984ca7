"""What is written twice, taken back at once or read by nobody is not in the file, nor counted in a draft."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.formats.tflite_emitter.tidy import tidy
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights


class Sketch:
    """Operators on a writer, each given by its result's shape."""

    def __init__(self, *, draft: bool = False) -> None:
        self.writer = TfliteWriter(draft=draft)
        self.source = self.writer.add_tensor("x", (1, 4, 6))
        self.writer.batches[self.source] = None

    def reshape(self, tensor: int, *shape: int, batch: int | None = None) -> int:
        """Append a RESHAPE."""
        target = np.asarray([-1 if axis == batch else size for axis, size in enumerate(shape)], dtype=np.int32)
        result = self._one("RESHAPE", (tensor, self.writer.add_constant("shape", target)), shape)
        self.writer.batches[result] = batch
        return result

    def transpose(self, tensor: int, *order: int) -> int:
        """Append a TRANSPOSE."""
        shape = tuple(self.writer.shape(tensor)[axis] for axis in order)
        permutation = self.writer.add_constant("order", np.asarray(order, dtype=np.int32))
        return self._one("TRANSPOSE", (tensor, permutation), shape)

    def unary(self, code: str, tensor: int) -> int:
        """Append an operator of one input."""
        return self._one(code, (tensor,), self.writer.shape(tensor))

    def add(self, left: int, right: int) -> int:
        """Append an ADD."""
        return self._one("ADD", (left, right), self.writer.shape(left))

    def tidied(self, *outputs: int) -> tuple[int, ...]:
        """Return the tensors of the outputs, and of nothing else."""
        return tidy(self.writer, inputs=[self.source], outputs=outputs)

    def _one(self, code: str, inputs: tuple[int, ...], shape: tuple[int, ...]) -> int:
        result = self.writer.add_tensor(code, shape)
        self.writer.add_operator(code, inputs, (result,))
        return result


@pytest.mark.parametrize("draft", [True, False])
def test_a_reshape_of_a_reshape_starts_from_the_first_ones_input(*, draft: bool) -> None:
    sketch = Sketch(draft=draft)

    result = sketch.reshape(sketch.reshape(sketch.source, 24), 2, 12)
    sketch.tidied(sketch.unary("TANH", result))

    assert sketch.writer.operators == ("RESHAPE", "TANH")
    assert sketch.writer.written[0].inputs[0] == sketch.source


def test_reshaping_there_and_back_is_nothing() -> None:
    sketch = Sketch()

    sketch.tidied(sketch.unary("TANH", sketch.reshape(sketch.reshape(sketch.source, 24), 1, 4, 6)))

    assert sketch.writer.operators == ("TANH",)


def test_a_reshape_that_moves_the_batch_to_another_axis_stays() -> None:
    sketch = Sketch()
    sketch.writer.batches[sketch.source] = 0
    line = sketch.reshape(sketch.source, 1, 1, 24, batch=0)

    turned = sketch.reshape(line, 1, 1, 24, batch=1)
    sketch.tidied(sketch.unary("TANH", line), sketch.unary("TANH", turned))

    assert sketch.writer.operators == ("RESHAPE", "RESHAPE", "TANH", "TANH")


@pytest.mark.parametrize("draft", [True, False])
def test_two_transposes_become_one_or_none(*, draft: bool) -> None:
    sketch = Sketch(draft=draft)
    once = sketch.transpose(sketch.source, 0, 2, 1)

    back, round_ = sketch.transpose(once, 0, 2, 1), sketch.transpose(once, 2, 0, 1)
    sketch.tidied(sketch.unary("TANH", back), sketch.unary("TANH", round_))

    assert sketch.writer.operators == ("TRANSPOSE", "TANH", "TANH")
    permutation = sketch.writer.known(sketch.writer.written[0].inputs[1])
    assert permutation is not None
    assert permutation.tolist() == [1, 0, 2]


def test_equal_operators_are_computed_once() -> None:
    sketch = Sketch()

    sketch.tidied(sketch.add(sketch.unary("TANH", sketch.source), sketch.unary("TANH", sketch.source)))

    assert sketch.writer.operators == ("TANH", "ADD")


def test_operators_that_differ_in_an_option_are_both_computed() -> None:
    sketch = Sketch()
    left, right = (sketch.writer.add_tensor("s", (1, 4, 6)) for _ in range(2))
    for beta, result in ((1.0, left), (2.0, right)):
        options = sketch.writer.schema.SoftmaxOptionsT()
        options.beta = beta
        sketch.writer.add_operator("SOFTMAX", (sketch.source,), (result,), options=options)

    sketch.tidied(sketch.add(left, right))

    assert sketch.writer.operators == ("SOFTMAX", "SOFTMAX", "ADD")


def test_operators_with_a_state_are_never_taken_for_each_other() -> None:
    sketch = Sketch()
    state = sketch.writer.add_variable("state", (1, 4, 6))

    sketch.tidied(sketch.add(sketch.unary("TANH", state), sketch.unary("TANH", state)))

    assert sketch.writer.operators == ("TANH", "TANH", "ADD")


def test_what_nobody_reads_is_not_written() -> None:
    sketch = Sketch()
    sketch.add(sketch.source, sketch.writer.add_constant("unread", weights(1, 4, 6)))
    result = sketch.unary("TANH", sketch.source)

    sketch.tidied(result)
    content = sketch.writer.to_bytes([("x", sketch.source)], [("y", result)])

    assert sketch.writer.operators == ("TANH",)
    assert tensors_of(content) == (2, 1)


def test_two_outputs_of_one_value_are_two_tensors() -> None:
    sketch = Sketch()
    first, second = sketch.unary("TANH", sketch.source), sketch.unary("TANH", sketch.source)

    results = sketch.tidied(first, second)

    assert len(set(results)) == 2


def test_a_shuffle_of_channels_turns_once() -> None:
    parts = (
        node("Conv", "x w", "c"),
        node("Reshape", "c split", "s"),
        node("Transpose", "s", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t joined", "j"),
        node("Conv", "j v", "d"),
        node("ReduceMean", "d image", "y", keepdims=0),
    )
    constants: dict[str, Any] = {
        "w": weights(6, 3, 1, 1),
        "v": weights(4, 6, 3, 3),
        "split": numbers(-1, 2, 3, 8, 8),
        "joined": numbers(-1, 6, 8, 8),
        "image": numbers(2, 3),
    }

    result = emitted(graph(*parts, inputs={"x": (1, 3, 8, 8)}, constants=constants))

    assert operators(result)["TRANSPOSE"] == 1
    assert operators(result)["RESHAPE"] == 2


def tensors_of(content: bytes) -> tuple[int, int]:
    """Return how many tensors and buffers the file has."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    return model.Subgraphs(0).TensorsLength(), model.BuffersLength()
