"""Putting one operator into a graph: its sides as inputs or constants, their axes in any order, a free batch or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, ...]
Values = Callable[[np.random.Generator, Shape], "NDArray[Any]"]
OPSETS = st.sampled_from((11, 13, 18, 20))
ROWS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One input of the operator: its shape, what fills it, and how it comes to it.

    ``turned`` is the permutation of a Transpose before the operator; a ``flat`` side comes flattened from an image.
    ``rows`` says that it differs from row to row; its first axis is then the batch.
    """

    shape: Shape
    values: Values
    constant: bool = False
    rows: bool = True
    turned: Shape = ()
    flat: Shape = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One operator with its sides, None where one is left out; parameters are constants of their own, after them."""

    op: str
    sides: Sequence[Side | None]
    opset: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    parameters: Sequence[NDArray[Any] | None] = ()
    outputs: Sequence[str] = ("result",)
    free: bool = True
    refusable: bool = False


def normal(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return normal floats."""
    return np.asarray(2 * random.standard_normal(shape), dtype=np.float32)


def lopsided(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return normal floats about 3, whose sums are not all rounding."""
    return np.asarray(normal(random, shape) + 3, dtype=np.float32)


def positive(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return floats above 0.1."""
    return np.asarray(np.abs(normal(random, shape)) + 0.1, dtype=np.float32)


def away_from_zero(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return floats of both signs, not near 0."""
    return np.asarray(positive(random, shape) * random.choice((-1.0, 1.0), shape), dtype=np.float32)


def halves(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return multiples of a half: ties in comparisons, and in rounding."""
    return np.asarray(random.integers(-4, 5, shape) / 2, dtype=np.float32)


def booleans(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return truth values."""
    return np.asarray(random.integers(0, 2, shape), dtype=np.bool_)


def integers(element: str, low: int = -5, high: int = 6) -> Values:
    """Return a maker of integers of that type from ``low`` up to below ``high``."""
    return lambda random, shape: np.asarray(random.integers(low, high, shape), dtype=element)


@st.composite
def shapes(draw: st.DrawFn, least: int = 1, most: int = 5) -> Shape:
    """Draw a shape whose first axis is a batch of 1."""
    sizes: list[int] = draw(st.lists(st.integers(1, 4), min_size=max(0, least - 1), max_size=most - 1))
    return (1, *sizes)


@st.composite
def sides(draw: st.DrawFn, shape: Shape, values: Values, *, free: bool) -> Side:
    """Draw a computed side of that shape: as it is, turned, or flattened."""
    way = draw(st.sampled_from(("plain", "turned", "flat")))
    if way == "flat" and len(shape) == 2 and shape[1] > 1:
        return Side(shape=(1, 2 * 3 * shape[1]), values=values, flat=(1, 2, 3, shape[1]))
    if way == "turned" and len(shape) > 2:
        kept = (0,) if free else ()
        order = draw(st.permutations(range(len(kept), len(shape))))
        return Side(shape=shape, values=values, turned=(*kept, *order))
    return Side(shape=shape, values=values)


@st.composite
def lone(
    draw: st.DrawFn, /, op: str, values: Values, *, opsets: st.SearchStrategy[int] = OPSETS, **attributes: Any
) -> Use:
    """Draw an operator of one side; attributes are strategies."""
    free = draw(st.booleans())
    side = draw(sides(draw(shapes()), values, free=free))
    drawn = {name: draw(strategy) for name, strategy in attributes.items()}
    return Use(op=op, sides=(side,), opset=draw(opsets), attributes=drawn, free=free)


@st.composite
def broadcast(
    draw: st.DrawFn, /, op: str, values: Sequence[Values], *, opsets: st.SearchStrategy[int] = OPSETS, **attributes: Any
) -> Use:
    """Draw an operator of several sides that broadcast, at least one computed; rows of columns may be flattened."""
    free = draw(st.booleans())
    shape: Shape = draw(shapes(most=6))
    flat: Shape = ()
    if len(shape) == 2 and draw(st.booleans()):
        shape, flat = (1, 2 * 3 * shape[1]), (1, 2, 3, shape[1])
    whole = draw(st.integers(0, len(values) - 1))
    given = [
        draw(_beside(shape, value, flat=flat, whole=place == whole, free=free)) for place, value in enumerate(values)
    ]
    drawn = {name: draw(strategy) for name, strategy in attributes.items()}
    return Use(op=op, sides=given, opset=draw(opsets), attributes=drawn, free=free)


@st.composite
def _beside(draw: st.DrawFn, shape: Shape, values: Values, *, flat: Shape, whole: bool, free: bool) -> Side:
    """Draw a side that broadcasts to the shape: whole, flattened, narrowed, of lower rank, or constant."""
    if draw(st.booleans()) and flat:
        return Side(shape=shape, values=values, flat=flat)
    if whole or draw(st.booleans()):
        narrowed = tuple(size if draw(st.integers(0, 3)) else 1 for size in shape)
        side: Side = draw(sides(narrowed if draw(st.booleans()) else shape, values, free=free))
        return Side(shape=shape, values=values) if side.flat else side
    rank = draw(st.integers(0, len(shape)))
    part = tuple(size if draw(st.booleans()) else 1 for size in shape[len(shape) - rank :])
    constant = draw(st.booleans())
    return Side(shape=part, values=values, constant=constant, rows=False)


def cases(uses: st.SearchStrategy[Use]) -> st.SearchStrategy[Case]:
    """Return the cases of such uses, with inputs of any seed."""
    return st.builds(lambda use, seed: case_of(use, seed=seed), uses, st.integers(0, 99))


def case_of(use: Use, *, seed: int = 0) -> Case:
    """Return the ONNX file of the use, and three rows of inputs."""
    from onnx import helper, numpy_helper

    random = np.random.default_rng(seed)
    nodes: list[Any] = []
    inputs: list[Any] = []
    rows: list[dict[str, NDArray[Any]]] = [{} for _ in range(ROWS)]
    names = ["" if side is None else f"side{place}" for place, side in enumerate(use.sides)]
    constants: dict[str, NDArray[Any]] = {}
    for name, side in zip(names, use.sides, strict=True):
        if side is None:
            continue
        if side.constant:
            constants[name] = side.values(random, side.shape)
            continue
        before, shape = _before(side, name)
        nodes += before
        read = before[0].input[0] if before else name
        held = [side.values(random, shape) for _ in range(ROWS)]
        for row, array in zip(rows, held, strict=True):
            row[read] = array if side.rows else held[0]
        sizes = [("batch" if use.free and side.rows and not axis else size) for axis, size in enumerate(shape)]
        inputs.append(helper.make_tensor_value_info(read, helper.np_dtype_to_tensor_dtype(held[0].dtype), sizes))
    given = {f"parameter{place}": array for place, array in enumerate(use.parameters)}
    constants |= {name: array for name, array in given.items() if array is not None}
    names += [name if array is not None else "" for name, array in given.items()]
    nodes.append(helper.make_node(use.op, names, use.outputs, name=use.op.lower(), **use.attributes))
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    content = _file(nodes, inputs, tensors, use=use)
    return Case(content=content, inputs=tuple(rows), refusable=use.refusable)


def _before(side: Side, name: str) -> tuple[list[Any], Shape]:
    """Return the nodes before a side, and the shape of the input that they read."""
    from onnx import helper

    if side.flat:
        turn = helper.make_node("Transpose", [f"{name}/image"], [f"{name}/turned"], perm=[0, 3, 1, 2])
        return [turn, helper.make_node("Flatten", [f"{name}/turned"], [name])], side.flat
    if side.turned:
        shape = [0] * len(side.shape)
        for place, axis in enumerate(side.turned):
            shape[axis] = side.shape[place]
        return [helper.make_node("Transpose", [f"{name}/image"], [name], perm=side.turned)], tuple(shape)
    return [], side.shape


def _file(nodes: list[Any], inputs: list[Any], constants: list[Any], *, use: Use) -> bytes:
    from onnx import ModelProto, checker, helper, shape_inference

    def model(outputs: list[Any]) -> ModelProto:
        body = helper.make_graph(nodes, "use", inputs, outputs, constants)
        return helper.make_model(body, opset_imports=[helper.make_opsetid("", use.opset)], ir_version=10)

    known = shape_inference.infer_shapes(model([])).graph.value_info
    done = model([item for item in known if item.name in use.outputs])
    checker.check_model(done)
    return bytes(done.SerializeToString(deterministic=True))
