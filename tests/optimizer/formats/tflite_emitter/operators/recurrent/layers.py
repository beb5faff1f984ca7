"""Recurrent layers as exporters write them: a Transpose before, a Squeeze and a Transpose behind, a dense layer last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS: Final = 6
WIDTH: Final = 4
HIDDEN: Final = 8
_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}


def rows(number: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Return sequences (N, T, I)."""
    return np.random.default_rng(seed).standard_normal((number, STEPS, WIDTH), dtype=np.float32)


def layer(
    op: str,
    *,
    directions: int = 1,
    width: int = WIDTH,
    prefix: str = "",
    inputs: str = "turned",
    outputs: tuple[str, ...] = ("Y",),
    **attributes: Any,
) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return one recurrent node and its constants; further inputs may follow in ``inputs``, after a space."""
    from onnx import helper

    gates, random = _GATES[op] * HIDDEN, np.random.default_rng(len(prefix))
    shapes = {"w": (directions, gates, width), "r": (directions, gates, HIDDEN), "b": (directions, 2 * gates)}
    constants = {
        f"{prefix}{name}": (random.standard_normal(shape) / 2).astype(np.float32) for name, shape in shapes.items()
    }
    source, *given = inputs.split()
    told = [source, *constants, "", *given] if given else [source, *constants]
    if directions == 2:
        attributes["direction"] = "bidirectional"
    node = helper.make_node(op, told, outputs, name=f"{prefix}{op.lower()}", hidden_size=HIDDEN, **attributes)
    return node, constants


def last_step(op: str, *, free: bool = True) -> bytes:
    """Return a layer whose last step goes into a dense layer, batch first."""
    from onnx import helper

    recurrent, constants = layer(op, linear_before_reset=1) if op == "GRU" else layer(op)
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        recurrent,
        helper.make_node("Squeeze", ["Y", "directions"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["batch_first"], perm=[1, 0, 2]),
        helper.make_node("Gather", ["batch_first", "minus_one"], ["last"], axis=1),
        helper.make_node("Gemm", ["last", "dense"], ["y"], transB=1),
    ]
    more = {"directions": np.asarray([1]), "minus_one": np.asarray(-1), "dense": np.eye(3, HIDDEN, dtype=np.float32)}
    return model(nodes, {**constants, **more}, free=free)


def model(
    nodes: list[Any],
    constants: dict[str, NDArray[Any]],
    *,
    outputs: tuple[str, ...] = ("y",),
    free: bool = True,
    more_inputs: tuple[Any, ...] = (),
) -> bytes:
    """Return the file of nodes that read x, (N, T, I)."""
    from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch" if free else 1, STEPS, WIDTH])
    body = helper.make_graph(
        nodes,
        "recurrent",
        [x, *more_inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    inferred = shape_inference.infer_shapes(made)
    checker.check_model(inferred)
    return bytes(inferred.SerializeToString(deterministic=True))
