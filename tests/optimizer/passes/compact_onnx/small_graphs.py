"""Small random ONNX files with all that may be written shorter, and how they are compared: bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, checker, helper, numpy_helper

from optimizer.formats.session import open_session
from optimizer.pass_ import Observations
from optimizer.passes.compact_onnx import CompactOnnx
from tests.optimizer.passes.seeing import given_rows, model_of, proto_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

SIDE, CHANNELS = 6, 4


def compacted(model: Model) -> Model:
    """Return the model after the pass."""
    return CompactOnnx().run(model, Observations())


def bits(model: Model, rows: dict[str, NDArray[Any]] | None = None) -> list[bytes]:
    """Return the bytes of each answer to the rows (by default seeded ones), in the order of the file's outputs."""
    given = rows or {name: values[:3] for name, values in given_rows(model).items()}
    found = open_session(model).run(given)
    return [found[spec.name].tobytes() for spec in model.outputs]


def tensor_names(model: Model) -> set[str]:
    """Return the names in the outermost graph."""
    graph = proto_of(model).graph
    return {name for entry in graph.node for name in (*entry.input, *entry.output) if name}


class _Growing:
    """A graph as it grows: every operation takes an image of ``CHANNELS`` and gives one of the same shape."""

    def __init__(self, seed: int, *, prefix: str = "some/long/name") -> None:
        self._chance = np.random.default_rng(seed)
        self._prefix = prefix
        self.operations: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, kind: type[np.generic] = np.float32, *, way: str = "raw") -> str:
        """Return the name of new values, written as an initializer in one of three ways, or as an operation."""
        name = f"{self._prefix}/constant_{len(self.constants) + len(self.operations)}"
        held = np.asarray(values, kind)
        tensor = numpy_helper.from_array(held, name)
        if way == "list":
            tensor = helper.make_tensor(name, tensor.data_type, held.shape, held.ravel().tolist())
        if way == "operation":
            self.operations.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Return what a new operation gives."""
        name = f"{self._prefix}/{kind}_output_{len(self.operations)}"
        self.operations.append(helper.make_node(kind, list(inputs), [name], name=f"node of {name}", **attributes))
        return name

    def grow(self, kind: str, source: str, way: str) -> str:
        """Return what the operations of that kind make of the source."""
        grown: str = getattr(self, f"_{kind}")(source, way)
        return grown

    def _conv(self, source: str, way: str) -> str:
        kernel = self.constant(self._chance.normal(size=(CHANNELS, CHANNELS, 1, 1)), way=way)
        window = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4, "group": 1}
        return self.add("Conv", source, kernel, self.constant([0.5] * CHANNELS), **window)

    def _pool(self, source: str, way: str) -> str:
        del way
        return self.add("MaxPool", source, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], ceil_mode=0)

    def _scale(self, source: str, way: str) -> str:
        return self.add("Mul", source, self.constant(1.5, way=way))

    def _leaky(self, source: str, way: str) -> str:
        del way
        return self.add("LeakyRelu", source, alpha=0.01)

    def _reshape(self, source: str, way: str) -> str:
        flat = self.add("Reshape", source, self.constant([0, -1], np.int64, way=way), allowzero=0)
        return self.add("Reshape", flat, self.constant([-1, CHANNELS, SIDE, SIDE], np.int64, way=way))

    def _rounded(self, source: str, way: str) -> str:
        scale, zero = self.constant(0.05, way=way), self.constant(128, np.uint8, way=way)
        return self.add("DequantizeLinear", self.add("QuantizeLinear", source, scale, zero), scale, zero)

    def _branch(self, source: str, way: str) -> str:
        # ONNX Runtime 1.31 aborts where a branch reads what comes from a DequantizeLinear by way of a MaxPool
        source = self.add("Sigmoid", source)
        total = self.add("ReduceSum", source, keepdims=0)
        chosen = self.add("Greater", total, self.constant(0, way=way))
        graphs = []
        for kind in ("scale", "leaky"):
            inner = _Growing(int(self._chance.integers(99)), prefix=f"inside/{chosen}")  # the same in both branches
            last = inner.grow(kind, source, way)
            shape = ["batch", CHANNELS, SIDE, SIDE]
            given = helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)
            graphs.append(helper.make_graph(inner.operations, f"the {kind} branch", [], [given], inner.constants))
        return self.add("If", chosen, then_branch=graphs[0], else_branch=graphs[1])


@st.composite
def small_models(draw: st.DrawFn) -> Model:
    """Draw a model of one to eight parts, each with its constants written in one of three ways."""
    kinds = st.sampled_from(["conv", "pool", "scale", "reshape", "rounded", "leaky", "branch"])
    ways = st.sampled_from(["raw", "list", "operation"])
    growing = _Growing(draw(st.integers(0, 1000)))
    last = "image"
    for kind, way in draw(st.lists(st.tuples(kinds, ways), min_size=1, max_size=8)):
        last = growing.grow(kind, last, way)
    growing.operations.append(helper.make_node("Identity", [last], ["answer"]))
    return finished(growing.operations, growing.constants, image=[CHANNELS, SIDE, SIDE], answer=[CHANNELS, SIDE, SIDE])


def finished(
    operations: list[Any], constants: list[Any], *, opset: int = 18, ir_version: int = 10, **tensors: list[int]
) -> Model:
    """Return the checked model of these operations: the first float tensor goes in, the others come out."""
    first, *others = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in tensors.items()
    )
    graph = helper.make_graph(operations, "a graph with a name", [first], others, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    proto.producer_name = "a maker of models"
    checker.check_model(proto)
    return model_of(bytes(proto.SerializeToString(deterministic=True)))
