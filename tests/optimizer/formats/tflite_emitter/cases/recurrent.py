"""Uses of LSTM, GRU and RNN: directions, states given or not, peepholes, clipping, other activations, any outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.tflite_emitter.cases.case import Case
from tests.optimizer.formats.tflite_emitter.cases.standing import Shape, Side, Use, cases, normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS: Final = {
    "LSTM": (["Sigmoid", "Tanh", "Tanh"], ["Sigmoid", "Tanh", "Relu"], ["Sigmoid", "Sigmoid", "Tanh"]),
    "GRU": (["Sigmoid", "Tanh"], ["Sigmoid", "Relu"], ["Sigmoid", "Sigmoid"]),
    "RNN": (["Tanh"], ["Relu"], ["Sigmoid"]),
}
_NAMES: Final = ("Y", "Y_h", "Y_c")


def small(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return normal floats of deviation 0.5, by which no gate is always open."""
    return np.asarray(random.standard_normal(shape) / 2, dtype=np.float32)


def zero(random: np.random.Generator, shape: Shape) -> NDArray[Any]:
    """Return zeros, as exporters write them for a state that nobody gives."""
    del random
    return np.zeros(shape, dtype=np.float32)


@st.composite
def recurrences(draw: st.DrawFn, op: str) -> Use:
    """Draw a recurrence of at most four steps, time first, or batch first behind a Transpose."""
    free, bidirectional = draw(st.booleans()), draw(st.booleans())
    steps, width, hidden = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(2, 4))
    rows = 1 if free else draw(st.sampled_from((1, 1, 2, 3)))
    directions = 1 + bidirectional
    turned = (1, 0, 2) if free or draw(st.booleans()) else ()
    source = Side(shape=(steps, rows, width), values=normal, turned=turned)
    gates = _GATES[op] * hidden
    shapes: tuple[Shape, ...] = ((directions, gates, width), (directions, gates, hidden), (directions, 2 * gates))
    constants: list[Side | None] = [Side(shape=shape, values=small, constant=True) for shape in shapes]
    if draw(st.integers(0, 3)) == 0:
        constants[2] = None
    states = [draw(_states((directions, rows, hidden), free=free)) for _ in range(2 if op == "LSTM" else 1)]
    peepholes = [Side(shape=(directions, 3 * hidden), values=small, constant=True)] if op == "LSTM" else []
    given = [*constants, None, *states, *(peepholes if draw(st.integers(0, 2)) == 0 else [])]
    direction = "bidirectional" if bidirectional else draw(st.sampled_from(("forward", "reverse")))
    return Use(
        op=op,
        sides=[source, *given],
        opset=draw(st.sampled_from((11, 14, 20))),
        attributes={"hidden_size": hidden, "direction": direction} | draw(_options(op, directions)),
        outputs=draw(_outputs(op)),
        free=free,
    )


@st.composite
def _states(draw: st.DrawFn, shape: Shape, *, free: bool) -> Side | None:
    """Draw an initial state: none, zeros, a constant, or computed."""
    kind = draw(st.sampled_from(("none", "none", "zeros", "constant", "computed")))
    if kind == "computed":
        return Side(shape=shape, values=small, turned=(1, 0, 2) if free else ())
    if kind == "none" or free:
        return None
    return Side(shape=shape, values=small if kind == "constant" else zero, constant=True)


@st.composite
def _options(draw: st.DrawFn, op: str, directions: int) -> dict[str, Any]:
    """Draw what changes the arithmetic, most often nothing."""
    options: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        options["activations"] = draw(st.sampled_from(_ACTIVATIONS[op])) * directions
    if draw(st.integers(0, 4)) == 0:
        options["clip"] = draw(st.sampled_from((0.1, 0.5, 3.0)))
    if op == "GRU":
        options["linear_before_reset"] = draw(st.integers(0, 1))
    if op == "LSTM" and draw(st.integers(0, 4)) == 0:
        options["input_forget"] = 1
    return options


@st.composite
def _outputs(draw: st.DrawFn, op: str) -> tuple[str, ...]:
    """Draw the outputs that are asked for, at least one."""
    names = _NAMES if op == "LSTM" else _NAMES[:2]
    asked = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    listed = [name if name in asked else "" for name in names]
    return tuple(listed[: 1 + max(place for place, name in enumerate(listed) if name)])


CASES: Mapping[str, st.SearchStrategy[Case]] = {op: cases(recurrences(op)) for op in _GATES}
