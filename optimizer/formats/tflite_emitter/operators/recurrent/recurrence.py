"""What an LSTM, GRU or RNN operation says, read once for every form that it may be written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.layout import Axes, Value, keeps_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS: Final = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_DIRECTIONS: Final = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_BATCH: Final = 1
_TIME_MAJOR: Final[Axes] = (0, 1, 2)
_BATCH_MAJOR: Final[Axes] = (1, 0, 2)
_LENGTHS, _H, _C, _PEEPHOLES = 4, 5, 6, 7
"""Places of the optional inputs: lengths of sequences, initial state, initial cell (LSTM), peepholes (LSTM)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction's constants, a row of H for each gate, in ONNX's order of gates (LSTM iofc, GRU zrh).

    Shapes: ``weights`` (gates x H, I), ``recurrence`` (gates x H, H), the biases (gates x H), ``peepholes`` (3 x H) in
    the order iof.
    """

    reverse: bool
    weights: NDArray[np.float32]
    recurrence: NDArray[np.float32]
    weights_bias: NDArray[np.float32]
    recurrence_bias: NDArray[np.float32]
    peepholes: NDArray[np.float32] | None
    activations: tuple[str, ...]

    @property
    def bias(self) -> NDArray[np.float32]:
        """Both biases in one."""
        return (self.weights_bias.astype(np.float64) + self.recurrence_bias).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """An operation over a sequence of ``steps``: its input stored (N, T, I) or ``time_major`` (T, N, I).

    ``source`` is the input in that order; ``rows`` is its fixed batch, ``free`` whether the batch is the caller's
    choice (then ``rows`` is 1). ``initial`` names the initial states, h then c; the empty string stands for zeros.
    """

    operation: Operation
    hidden: int
    directions: tuple[Direction, ...]
    source: Value
    time_major: bool
    steps: int
    rows: int
    free: bool
    initial: tuple[str, ...]
    clip: float
    linear_before_reset: bool
    input_forget: bool

    @property
    def is_default(self) -> bool:
        """Whether it computes what TFLite's sequence operators do: its usual activations, nothing clipped."""
        usual = _DEFAULTS[self.operation.op]
        return not self.clip and all(one.activations == usual for one in self.directions)

    @property
    def width(self) -> int:
        """Size of a step of all directions."""
        return self.hidden * len(self.directions)

    def stored(self, *last: int) -> tuple[int, ...]:
        """Return the stored shape of a sequence whose steps have that shape."""
        return (self.steps, self.rows, *last) if self.time_major else (self.rows, self.steps, *last)

    @property
    def batch_place(self) -> int | None:
        """The axis of a stored sequence that grows with the batch."""
        return int(self.time_major) if self.free else None

    @property
    def time_place(self) -> int:
        """The axis of a stored sequence that is time."""
        return int(not self.time_major)

    def wants(self, place: int) -> bool:
        """Return whether the operation's output at that place is asked for."""
        return place < len(self.operation.outputs) and bool(self.operation.outputs[place])


def read_recurrence(operation: Operation, lowering: Lowering) -> Recurrence:
    """Return what the operation says.

    Raises:
        UnsupportedOperator: computed weights, sequences of several lengths, or outputs that depend on the data.
    """
    x = lowering.in_order(lowering.value(operation.input(0)))
    if operation.integer("layout", 0):
        raise lowering.refusal(operation, "its layout is 1, which ONNX Runtime does not run; export it with layout 0")
    if x.batch not in (None, _BATCH):
        raise lowering.refusal(operation, "its sequence grows with the batch; export a fixed batch")
    _check_lengths(operation, lowering, steps=x.shape[0], rows=x.shape[_BATCH])
    source = _in_sequence(lowering, x)
    hidden = operation.integer("hidden_size", lowering.constant(operation, 2).shape[-1])
    states = (_H, _C) if operation.op == "LSTM" else (_H,)
    return Recurrence(
        operation=operation,
        hidden=hidden,
        directions=_directions(operation, lowering, hidden=hidden),
        source=source,
        time_major=source.axes == _TIME_MAJOR,
        steps=x.shape[0],
        rows=x.shape[_BATCH],
        free=x.batch is not None,
        initial=tuple(_unless_zero(lowering, operation.input(place)) for place in states),
        clip=operation.number("clip", 0.0),
        linear_before_reset=bool(operation.integer("linear_before_reset", 0)),
        input_forget=bool(operation.integer("input_forget", 0)),
    )


def _in_sequence(lowering: Lowering, value: Value) -> Value:
    """Return the input in one of the two orders that every form takes: the one that it lies in, if any."""
    both = (_BATCH_MAJOR, _TIME_MAJOR)
    free = [axes for axes in both if keeps_order(value.shape, value.axes, axes, batch=value.batch)]
    near = value.axes if value.axes in both else (*free, _TIME_MAJOR)[0]
    return lowering.with_axes(value, near)


def _check_lengths(operation: Operation, lowering: Lowering, *, steps: int, rows: int) -> None:
    if not operation.input(_LENGTHS):
        return
    lengths = lowering.constant(operation, _LENGTHS)
    if lengths.size not in (1, rows) or bool((lengths != steps).any()):
        raise lowering.refusal(operation, "its sequences have several lengths; feed whole sequences of one length")


def _directions(operation: Operation, lowering: Lowering, *, hidden: int) -> tuple[Direction, ...]:
    reverses = _DIRECTIONS[operation.text("direction", "forward")]
    rows = _GATES[operation.op] * hidden
    weights, recurrence = (lowering.constant(operation, place).astype(np.float32) for place in (1, 2))
    bias = np.zeros((len(reverses), 2 * rows), dtype=np.float32)
    if operation.input(3):
        bias = lowering.constant(operation, 3).astype(np.float32)
    peepholes = lowering.constant(operation, _PEEPHOLES).astype(np.float32) if operation.input(_PEEPHOLES) else None
    names = _activations(operation, len(reverses))
    return tuple(
        Direction(
            reverse=reverse,
            weights=weights[place],
            recurrence=recurrence[place],
            weights_bias=bias[place, :rows],
            recurrence_bias=bias[place, rows:],
            peepholes=None if peepholes is None or not peepholes[place].any() else peepholes[place],
            activations=names[place],
        )
        for place, reverse in enumerate(reverses)
    )


def _activations(operation: Operation, directions: int) -> list[tuple[str, ...]]:
    """Return the names of each direction's activations, in ONNX's order and in lower case."""
    usual = _DEFAULTS[operation.op]
    given = [_text(name) for name in operation.attributes.get("activations", ())]
    names = given or list(usual) * directions
    return [tuple(names[place * len(usual) : (place + 1) * len(usual)]) for place in range(directions)]


def _text(name: Any) -> str:
    return (name.decode() if isinstance(name, bytes) else str(name)).lower()


def _unless_zero(lowering: Lowering, name: str) -> str:
    """Return the name, or the empty string where nothing or a constant of zeros is given."""
    if not name or (name in lowering.graph.constants and not lowering.graph.constants[name].any()):
        return ""
    return name
