"""Graphs as exporters and tools leave them: what is folded, inlined, found to grow with the batch, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optimizer.errors import PassFailed
from optimizer.formats.tflite_emitter import SUPPORTED, emit
from optimizer.formats.tflite_emitter.reading import read_graph
from tests.optimizer.formats.networks import exported, line_net, mobile_net, residual_net, table_net
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from onnx import GraphProto

EXPORTED: dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...]]] = {
    "mobile": (mobile_net, (1, 3, 32, 32)),
    "residual": (residual_net, (1, 3, 32, 32)),
    "line": (line_net, (1, 6, 64)),
    "table": (table_net, (1, 20)),
}


def model_of(
    body: GraphProto, *, opset: int = 18, functions: list[Any] | None = None, domains: tuple[str, ...] = ()
) -> bytes:
    """Return the file of a graph."""
    from onnx import helper

    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(body, opset_imports=imports, ir_version=10, functions=functions or [])
    return bytes(model.SerializeToString())


def tensor(name: str, *sizes: Any, kind: int = 1) -> Any:
    """Return an input or output; float unless said otherwise."""
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, list(sizes) if sizes else None)


def branched(*, condition: bool) -> bytes:
    """Return a graph with an If of a constant condition, each branch with a weight of its own and an outer value."""
    from onnx import helper, numpy_helper

    def branch(op: str, seed: int) -> GraphProto:
        weight = numpy_helper.from_array(weights(4, seed=seed), "w")
        return helper.make_graph([node(op, "x w", "inner")], op, [], [tensor("inner")], [weight])

    chosen = helper.make_node("If", ["yes"], ["y"], then_branch=branch("Add", 1), else_branch=branch("Mul", 2))
    yes = numpy_helper.from_array(np.asarray(condition), "yes")
    return model_of(helper.make_graph([chosen], "g", [tensor("x", "n", 4)], [tensor("y")], [yes]))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_the_batch_of_an_exported_network_is_found(name: str) -> None:
    network, shape = EXPORTED[name]

    read = read_graph(exported(network(), shape), known=SUPPORTED)

    assert read.fixed_batch == ""
    assert [read.facts[value].batch for _, value in read.outputs] == [0]


@pytest.mark.parametrize(("condition", "code"), [(True, "ADD"), (False, "MUL")])
def test_the_branch_that_a_constant_condition_takes_stands_in_its_place(*, condition: bool, code: str) -> None:
    result = emitted(branched(condition=condition))

    assert operators(result) == {code: 1}


def test_two_branches_with_the_same_inner_names_do_not_meet() -> None:
    from onnx import helper, numpy_helper

    def inner(seed: int) -> GraphProto:
        return helper.make_graph(
            [node("Add", "x w", "i")], "b", [], [tensor("i")], [numpy_helper.from_array(weights(4, seed=seed), "w")]
        )

    choices = [
        helper.make_node("If", ["yes"], [name], then_branch=inner(seed), else_branch=inner(9), name=name)
        for seed, name in enumerate("ab")
    ]
    yes = numpy_helper.from_array(np.asarray(True), "yes")
    parts = [*choices, node("Mul", "a b", "y")]
    content = model_of(helper.make_graph(parts, "g", [tensor("x", "n", 4)], [tensor("y")], [yes]))

    assert operators(emitted(content)) == {"ADD": 2, "MUL": 1}


def test_a_function_of_the_models_own_is_opened() -> None:
    from onnx import helper

    twice = helper.make_function("own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 18)])
    call = helper.make_node("Twice", ["x"], ["y"], domain="own")
    body = helper.make_graph([call], "g", [tensor("x", "n", 4)], [tensor("y", "n", 4)])

    assert operators(emitted(model_of(body, functions=[twice], domains=("own",)))) == {"ADD": 1}


def test_an_operator_that_onnx_defines_by_others_is_opened() -> None:
    content = graph(node("MeanVarianceNormalization", "x", "y", axes=[2, 3]), inputs={"x": (1, 3, 5, 4)})

    assert operators(emitted(content))["MEAN"] >= 2


def test_weights_that_are_inputs_too_are_weights() -> None:
    from onnx import helper, numpy_helper

    weight = numpy_helper.from_array(weights(4), "w")
    given = [tensor("w", 4), tensor("x", "n", 4)]
    content = model_of(helper.make_graph([node("Add", "x w", "y")], "g", given, [tensor("y")], [weight]))

    assert read_graph(content).inputs == ("x",)
    assert operators(emitted(content)) == {"ADD": 1}


def test_operations_without_names_or_with_equal_ones_are_told_apart() -> None:
    from onnx import helper

    parts = [helper.make_node("Relu", ["x"], ["a"], name="same"), helper.make_node("Tanh", ["a"], ["b"], name="same")]
    parts += [helper.make_node("Relu", ["b"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    content = model_of(helper.make_graph(parts, "g", [tensor("x", "n", 4)], [tensor("y")]))

    names = [operation.name for operation in read_graph(content).operations]

    assert len(set(names)) == len(names)


def test_a_transpose_that_says_no_order_turns_all_axes_round() -> None:
    parts = (
        node("Relu", "x", "a"),
        node("Transpose", "a", "b", perm=[0, 2, 1]),
        node("Transpose", "b", "c"),
        node("Tanh", "c", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": (2, 3, 4)}))

    assert operators(result)["TRANSPOSE"] == 1


def test_double_constants_become_floats() -> None:
    wide = weights(4).astype(np.float64)
    parts = (node("Cast", "d", "w", to=1), node("Add", "x w", "y"))

    assert operators(emitted(graph(*parts, inputs={"x": (1, 4)}, constants={"d": wide}))) == {"ADD": 1}


def test_half_precision_weights_alone_are_widened_and_computing_in_it_is_refused() -> None:
    narrow = weights(4).astype(np.float16)
    stored = graph(node("Cast", "h", "w", to=1), node("Add", "x w", "y"), inputs={"x": (1, 4)}, constants={"h": narrow})
    computed = graph(
        node("Cast", "x", "c", to=10),
        node("Add", "c h", "s"),
        node("Cast", "s", "y", to=1),
        inputs={"x": (1, 4)},
        constants={"h": narrow},
    )

    assert operators(emitted(stored)) == {"ADD": 1}
    with pytest.raises(PassFailed, match="float16, which is not computed with here; export the float32 model"):
        emit(computed)


def test_what_no_output_depends_on_is_not_written_and_not_refused() -> None:
    parts = (node("Relu", "x", "y"), node("GridSample", "x g", "unused"))

    result = emitted(graph(*parts, inputs={"x": (1, 2, 4, 4)}, constants={"g": weights(1, 3, 3, 2)}))

    assert operators(result) == {"RELU": 1}


def test_an_output_may_be_an_input_a_constant_or_the_same_value_twice() -> None:
    parts = (
        node("Identity", "x", "same"),
        node("Identity", "c", "fixed"),
        node("Relu", "x", "once"),
        node("Identity", "once", "twice"),
    )
    content = graph(*parts, inputs={"x": (1, 4)}, constants={"c": weights(2, 3)}, outputs="same fixed once twice")

    assert operators(emitted(content)) == {"RELU": 1, "RESHAPE": 3}


def test_an_input_that_nothing_reads_stays_an_input() -> None:
    content = graph(node("Relu", "x", "y"), inputs={"x": (1, 4), "unread": (1, 3)})

    assert read_graph(content).inputs == ("x", "unread")
    assert operators(emitted(content)) == {"RELU": 1}


def test_an_empty_piece_of_a_concat_is_left_out() -> None:
    empty = np.zeros((1, 0), dtype=np.float32)
    inputs: dict[str, tuple[int, ...]] = {"x": (1, 4), "r": (1, 2)}
    content = graph(node("Concat", "x e r", "y", axis=1), inputs=inputs, constants={"e": empty}, free_batch=False)

    assert operators(emitted(content)) == {"CONCATENATION": 1}


def test_outputs_left_out_before_others_do_not_meet() -> None:
    from onnx import helper, numpy_helper

    parts = [
        helper.make_node("LSTM", ["x", f"w{place}", f"r{place}"], ["", f"h{place}"], hidden_size=3, name=f"l{place}")
        for place in (0, 1)
    ]
    parts.append(node("Add", "h0 h1", "y"))
    held = [
        numpy_helper.from_array(weights(1, 12, size, seed=place), f"{letter}{place}")
        for place in (0, 1)
        for letter, size in (("w", 4), ("r", 3))
    ]
    body = helper.make_graph(parts, "g", [tensor("x", 5, 1, 4)], [tensor("y")], held)

    assert operators(emitted(model_of(body)))["ADD"] >= 1


@pytest.mark.parametrize("kind", [10, 11, 8])
def test_an_input_of_a_type_that_is_not_served_is_refused(kind: int) -> None:
    from onnx import helper

    body = helper.make_graph(
        [node("Identity", "x", "y")], "g", [tensor("x", 1, 4, kind=kind)], [tensor("y", kind=kind)]
    )

    with pytest.raises(PassFailed, match="convert it before the model"):
        emit(model_of(body))


def test_an_input_without_a_shape_is_refused() -> None:
    from onnx import helper

    body = helper.make_graph([node("Relu", "x", "y")], "g", [tensor("x")], [tensor("y")])

    with pytest.raises(PassFailed, match="no tensor of a known shape"):
        emit(model_of(body))


def test_reading_what_nothing_makes_is_refused() -> None:
    from onnx import helper

    body = helper.make_graph([node("Add", "x ghost", "y")], "g", [tensor("x", 1, 4)], [tensor("y")])

    with pytest.raises(PassFailed, match="reads 'ghost', which is no input, no weight"):
        read_graph(model_of(body))


def test_the_size_of_a_value_is_a_constant() -> None:
    parts = (node("Size", "x", "many"), node("Cast", "many", "m", to=1), node("Div", "x m", "y"))

    result = emitted(graph(*parts, inputs={"x": (1, 4)}, free_batch=False))

    assert sum(operators(result).values()) == 1


def test_a_constant_that_the_batch_merely_repeats_is_one_row() -> None:
    parts = (
        node("Shape", "x", "sizes", end=1),
        node("Concat", "sizes rest", "target", axis=0),
        node("Expand", "row target", "rows"),
        node("Add", "x rows", "y"),
    )
    content = graph(*parts, inputs={"x": (1, 4)}, constants={"rest": numbers(4), "row": weights(1, 4)})

    read = read_graph(content)

    assert read.facts["rows"].batch == 0
    assert operators(emitted(content)) == {"ADD": 1}


@pytest.mark.slow
def test_constants_that_a_small_file_asks_for_without_end_are_not_all_folded() -> None:
    from onnx import numpy_helper

    value = numpy_helper.from_array(np.zeros(1, np.int8), "value")
    made = [node("ConstantOfShape", "sizes", f"made{place}", value=value) for place in range(6)]
    content = graph(*made, node("Relu", "x", "y"), inputs={"x": (1, 1)}, constants={"sizes": numbers(1 << 26)})

    constants = read_graph(content).constants

    assert set(constants) == {"sizes", "made0", "made1", "made2", "made3"}
