"""One step of an LSTM, a GRU or an RNN, as operators that every delegate knows.

A cell says which products of the input it needs, all steps at once, and how a step turns them and a state into the
next. The first step of a sequence that begins with zeros is shorter: its state is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from optimizer.formats.tflite_emitter.operators.recurrent.states import split_into

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.lowering import Lowering
    from optimizer.formats.tflite_emitter.operators.recurrent.recurrence import Direction, Recurrence

_ACTIVATIONS: Final = {"sigmoid": "LOGISTIC", "tanh": "TANH", "relu": "RELU"}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What goes from one step to the next: ``h`` and, of an LSTM, ``c``, each (N, H); None where it is zero."""

    h: int | None = None
    c: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A product that the input takes part in at every step: weights (rows, I) and a bias (rows)."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class Cell(Protocol):
    """One direction of a recurrence."""

    def projections(self) -> Sequence[Projection]:
        """Return the products of the input."""
        ...

    def step(self, projected: Sequence[int], state: State) -> State:
        """Write one step, of what each product of the input gave; return the state after it."""
        ...


class Arithmetic:
    """Operators on (N, columns): the batch is ``rows``, whatever the caller makes of it."""

    def __init__(self, recurrence: Recurrence, lowering: Lowering) -> None:
        """Work on rows of that recurrence."""
        self._lowering = lowering
        self._rows = recurrence.rows
        self._hidden = recurrence.hidden
        self._limit = recurrence.clip

    def product(self, state: int, weights: NDArray[np.float32], bias: NDArray[np.float32] | None = None) -> int:
        """Return state x weights^T + bias."""
        writer = self._lowering.writer
        options = self._lowering.schema.FullyConnectedOptionsT()
        numbers = np.zeros(len(weights), dtype=np.float32) if bias is None else bias
        inputs = (state, writer.add_constant("recurrence", weights), writer.add_constant("bias", numbers))
        return self._step("FULLY_CONNECTED", inputs, len(weights), options)

    def add(self, left: int, right: int, columns: int) -> int:
        """Return the sum."""
        return self._step("ADD", (left, right), columns, self._lowering.schema.AddOptionsT())

    def subtract(self, left: int, right: int) -> int:
        """Return the difference, of H columns."""
        return self._step("SUB", (left, right), self._hidden, self._lowering.schema.SubOptionsT())

    def multiply(self, left: int, right: int) -> int:
        """Return the product element by element, of H columns."""
        return self._step("MUL", (left, right), self._hidden, self._lowering.schema.MulOptionsT())

    def activate(self, name: str, tensor: int, columns: int, *, clips: bool = True) -> int:
        """Return the activation of that name, in lower case; what goes in is clipped if the operation says so."""
        if self._limit and clips:
            tensor = self._clipped(tensor, columns)
        return self._step(_ACTIVATIONS[name], (tensor,), columns, None)

    def split(self, tensor: int, parts: int) -> list[int]:
        """Return the columns in groups of H."""
        found = [self._lowering.writer.add_tensor("gate", (self._rows, self._hidden)) for _ in range(parts)]
        split_into(self._lowering, tensor, found)
        return found

    def columns(self, tensor: int, begin: int, end: int) -> int:
        """Return the columns from ``begin`` to before ``end``."""
        options = self._lowering.schema.StridedSliceOptionsT()
        options.beginMask = options.endMask = 1
        inputs = (tensor, *(self._lowering.numbers(numbers) for numbers in ((0, begin), (0, end), (1, 1))))
        return self._step("STRIDED_SLICE", inputs, end - begin, options)

    def row(self, numbers: NDArray[np.float32]) -> int:
        """Return a constant that stands in every row, (1, columns)."""
        return self._lowering.writer.add_constant("row", numbers.reshape(1, -1))

    def _clipped(self, tensor: int, columns: int) -> int:
        for code, bound in (("MINIMUM", self._limit), ("MAXIMUM", -self._limit)):
            options = self._lowering.schema.MaximumMinimumOptionsT()
            other = self.row(np.asarray([bound], dtype=np.float32))
            tensor = self._step(code, (tensor, other), columns, options)
        return tensor

    def _step(self, code: str, inputs: Sequence[int], columns: int, options: object) -> int:
        shape = (self._rows, columns)
        return self._lowering.step(code, inputs, code.lower(), shape=shape, options=options)


class LstmCell:
    """c' = f c + i g, h' = o tanh(c'), of gates f, i, o (sigmoid) and g (tanh), computed in that order."""

    def __init__(self, recurrence: Recurrence, lowering: Lowering, direction: Direction) -> None:
        """Take the constants of a direction."""
        self._direction = direction
        self._hidden = recurrence.hidden
        self._coupled = recurrence.input_forget
        self._do = Arithmetic(recurrence, lowering)
        parts = (direction.weights, direction.recurrence, direction.bias)
        self._weights, self._recurrence, self._bias = (_forget_first(part, recurrence.hidden) for part in parts)

    def projections(self) -> Sequence[Projection]:
        """Return one product for all four gates."""
        return (Projection(weights=self._weights, bias=self._bias),)

    def step(self, projected: Sequence[int], state: State) -> State:
        """See ``Cell.step``."""
        do, (outer, inner, last) = self._do, self._direction.activations
        gates = projected[0]
        if state.h is not None:
            gates = do.add(gates, do.product(state.h, self._recurrence), 4 * self._hidden)
        if state.c is None or self._coupled:
            forget = None
            into, out, new = do.split(do.columns(gates, self._hidden, 4 * self._hidden), 3)
        else:
            forget, into, out, new = do.split(gates, 4)
        into = do.activate(outer, self._peeped(into, state.c, 0), self._hidden)
        c = do.multiply(into, do.activate(inner, new, self._hidden))
        if state.c is not None:
            c = do.add(do.multiply(self._kept(forget, into, state.c), state.c), c, self._hidden)
        out = do.activate(outer, self._peeped(out, c, 1), self._hidden)
        return State(h=do.multiply(out, do.activate(last, c, self._hidden, clips=False)), c=c)

    def _kept(self, forget: int | None, into: int, c: int) -> int:
        """Return the share of the cell that is kept: the forget gate, or what the input gate leaves."""
        if forget is None:
            return self._do.subtract(self._do.row(np.ones(1, dtype=np.float32)), into)
        return self._do.activate(self._direction.activations[0], self._peeped(forget, c, 2), self._hidden)

    def _peeped(self, gate: int, c: int | None, place: int) -> int:
        peepholes = self._direction.peepholes
        if peepholes is None or c is None:
            return gate
        weights = self._do.row(peepholes[place * self._hidden : (place + 1) * self._hidden])
        return self._do.add(gate, self._do.multiply(c, weights), self._hidden)


def _forget_first(rows: NDArray[np.float32], hidden: int) -> NDArray[np.float32]:
    """Return the rows of ONNX's gates i, o, f, g in the order f, i, o, g."""
    into_out, forget, new = rows[: 2 * hidden], rows[2 * hidden : 3 * hidden], rows[3 * hidden :]
    return np.concatenate([forget, into_out, new])


class GruCell:
    """h' = n + z (h - n), of gates z, r (sigmoid) and n (tanh), which r takes the state's part in."""

    def __init__(self, recurrence: Recurrence, lowering: Lowering, direction: Direction) -> None:
        """Take the constants of a direction."""
        self._direction = direction
        self._hidden = recurrence.hidden
        self._late = recurrence.linear_before_reset
        self._do = Arithmetic(recurrence, lowering)

    def projections(self) -> Sequence[Projection]:
        """Return one product for z and r, and one for n."""
        cut, one = 2 * self._hidden, self._direction
        return (
            Projection(weights=one.weights[:cut], bias=one.bias[:cut]),
            Projection(weights=one.weights[cut:], bias=(one.weights_bias if self._late else one.bias)[cut:]),
        )

    def step(self, projected: Sequence[int], state: State) -> State:
        """See ``Cell.step``."""
        do, (outer, inner) = self._do, self._direction.activations
        cut = 2 * self._hidden
        gates = projected[0]
        if state.h is not None:
            gates = do.add(gates, do.product(state.h, self._direction.recurrence[:cut]), cut)
        if self._resets(state):
            update, reset = do.split(do.activate(outer, gates, cut), 2)
            new = self._with_state(projected[1], reset, state.h)
        else:
            update, new = do.activate(outer, do.columns(gates, 0, self._hidden), self._hidden), projected[1]
        new = do.activate(inner, new, self._hidden)
        if state.h is None:
            return State(h=do.subtract(new, do.multiply(update, new)))
        return State(h=do.add(new, do.multiply(update, do.subtract(state.h, new)), self._hidden))

    def _resets(self, state: State) -> bool:
        """Return whether there is something that r may take in."""
        late = self._late and bool(self._direction.recurrence_bias[2 * self._hidden :].any())
        return state.h is not None or late

    def _with_state(self, new: int, reset: int, h: int | None) -> int:
        """Return what goes into n's activation."""
        cut, one, do = 2 * self._hidden, self._direction, self._do
        weights, bias = one.recurrence[cut:], one.recurrence_bias[cut:]
        if h is None:
            return do.add(new, do.multiply(reset, do.row(bias)), self._hidden)
        if self._late:
            return do.add(new, do.multiply(reset, do.product(h, weights, bias)), self._hidden)
        return do.add(new, do.product(do.multiply(reset, h), weights), self._hidden)


class RnnCell:
    """h' = tanh(x W + h R + b), or relu."""

    def __init__(self, recurrence: Recurrence, lowering: Lowering, direction: Direction) -> None:
        """Take the constants of a direction."""
        self._direction = direction
        self._hidden = recurrence.hidden
        self._do = Arithmetic(recurrence, lowering)

    def projections(self) -> Sequence[Projection]:
        """Return one product."""
        return (Projection(weights=self._direction.weights, bias=self._direction.bias),)

    def step(self, projected: Sequence[int], state: State) -> State:
        """See ``Cell.step``."""
        do, new = self._do, projected[0]
        if state.h is not None:
            new = do.add(new, do.product(state.h, self._direction.recurrence), self._hidden)
        return State(h=do.activate(self._direction.activations[0], new, self._hidden))


CELLS: Final[Mapping[str, type[LstmCell | GruCell | RnnCell]]] = {
    "LSTM": LstmCell,
    "GRU": GruCell,
    "RNN": RnnCell,
}


def cell_objection(recurrence: Recurrence) -> str:
    """Return why no cell computes it; the empty string where one does."""
    names = {name for one in recurrence.directions for name in one.activations}
    unknown = sorted(names - set(_ACTIVATIONS))
    if unknown:
        return f"its activation {unknown[0]} is not written; {', '.join(_ACTIVATIONS)} are"
    return ""
