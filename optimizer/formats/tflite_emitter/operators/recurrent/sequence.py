"""LSTM and RNN as TFLite's sequence operators: one operator for all steps, both directions included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.operators.recurrent.recurrence import Direction, Recurrence
from optimizer.formats.tflite_emitter.operators.recurrent.states import (
    constant_states,
    given_states,
    split_into,
    zero_states,
)
from optimizer.formats.tflite_emitter.rewrites.recurrences import STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.lowering import Lowering

_NONE: Final = -1
_TANH: Final = 4
"""TFLite's number of the activation; ``Activation`` names those that can be fused into other operators."""
_IFCO: Final = (0, 2, 3, 1)
"""TFLite's order of gates, by their places in ONNX's iofc."""
_CELL: Final = 2
"""Place of the last cell state among the outputs."""
_AUXILIARY: Final = 9
"""Inputs of the bidirectional operator for a second input sequence, left out."""


class SequenceForm:
    """A recurrence as one sequence operator; what is asked of it is cut from the operator's result."""

    def __init__(self, recurrence: Recurrence, lowering: Lowering) -> None:
        """Write the operator, after what clears its state."""
        self._recurrence = recurrence
        self._lowering = lowering
        self._reversed = len(recurrence.directions) == 1 and recurrence.directions[0].reverse
        self._states = _states(recurrence, lowering)
        source = recurrence.source.tensor
        if self._reversed:
            source = self._turned(source, recurrence.source.stored_shape)
        self._sides = self._written(source)
        self._last: dict[int, int] = {}
        self._cells: tuple[int, ...] = ()

    def sequence(self) -> int:
        """Return all steps of all directions, side by side: (N, T, D x H), or time first."""
        recurrence, lowering = self._recurrence, self._lowering
        shape = recurrence.stored(recurrence.width)
        if self._reversed:
            return self._turned(self._sides[0], shape)
        if len(self._sides) == 1:
            return self._sides[0]
        options = lowering.schema.ConcatenationOptionsT()
        options.axis = 2
        return lowering.step("CONCATENATION", self._sides, "sequence", shape=shape, options=options)

    def last(self, direction: int) -> int:
        """Return what a direction ends with, (N, H)."""
        if direction not in self._last:
            backward = self._recurrence.directions[direction].reverse and not self._reversed
            step = 0 if backward else self._recurrence.steps - 1
            self._last[direction] = self._step(step, direction)
        return self._last[direction]

    def cell(self, direction: int) -> int:
        """Return the cell state that a direction ends with, (N, H).

        It is read from the variable beside the last step: a delegate would not know otherwise that the sequence comes
        before it.
        """
        if not self._cells:
            cells = [self._states[place] for place in range(len(self._states)) if place % 2]
            self._cells = self._read_after(self.last(0), cells)
        return self._cells[direction]

    def _written(self, source: int) -> tuple[int, ...]:
        """Write the operator; return one tensor with all directions side by side, or one for each."""
        recurrence, lowering = self._recurrence, self._lowering
        write = _write_lstm if recurrence.operation.op == "LSTM" else _write_rnn
        sides = 1 if _merges(recurrence) else len(recurrence.directions)
        shape = recurrence.stored(recurrence.width // sides)
        outputs = tuple(lowering.writer.add_tensor("sequence", shape) for _ in range(sides))
        lowering.writer.batches.update(dict.fromkeys(outputs, recurrence.batch_place))
        write(recurrence, lowering, source=source, states=self._states, outputs=outputs)
        return outputs

    def _turned(self, tensor: int, shape: Sequence[int]) -> int:
        """Return the sequence from its end to its beginning."""
        axis = self._lowering.numbers([self._recurrence.time_place], "time")
        options = self._lowering.schema.ReverseV2OptionsT()
        return self._lowering.step("REVERSE_V2", (tensor, axis), "turned", shape=shape, options=options)

    def _step(self, step: int, direction: int) -> int:
        """Return one step of one direction."""
        recurrence, lowering = self._recurrence, self._lowering
        apart = len(self._sides) > 1
        first = 0 if apart else direction * recurrence.hidden
        begin, end = [0, 0, first], [0, 0, first + recurrence.hidden]
        begin[recurrence.time_place], end[recurrence.time_place] = step, step + 1
        options = lowering.schema.StridedSliceOptionsT()
        options.beginMask = options.endMask = 1 << (1 - recurrence.time_place)
        options.shrinkAxisMask = 1 << recurrence.time_place
        source = self._sides[direction if apart else 0]
        inputs = (source, *(lowering.numbers(numbers) for numbers in (begin, end, [1, 1, 1])))
        shape = (recurrence.rows, recurrence.hidden)
        return lowering.step("STRIDED_SLICE", inputs, "last", shape=shape, options=options)

    def _read_after(self, last: int, variables: Sequence[int]) -> tuple[int, ...]:
        recurrence, lowering = self._recurrence, self._lowering
        options = lowering.schema.ConcatenationOptionsT()
        options.axis = 1
        shape = (recurrence.rows, recurrence.hidden)
        joined = lowering.step(
            "CONCATENATION",
            (last, *variables),
            "states",
            shape=(shape[0], shape[1] * (1 + len(variables))),
            options=options,
        )
        parts = [lowering.writer.add_tensor("state", shape) for _ in range(1 + len(variables))]
        split_into(lowering, joined, parts)
        return tuple(parts[1:])


def _merges(recurrence: Recurrence) -> bool:
    """Return whether the operator may write both directions side by side.

    LiteRT's LSTM then steps over its states by the width of both directions where the batch comes first: beyond them.
    """
    several = recurrence.free or recurrence.rows > 1
    return recurrence.operation.op == "RNN" or recurrence.time_major or not several


def sequence_objection(recurrence: Recurrence) -> str:
    """Return why no sequence operator computes it; the empty string where one does."""
    if recurrence.operation.op == "GRU":
        return "TFLite has no sequence operator for it"
    if recurrence.clip:
        return "it clips what goes into its activations"
    if recurrence.operation.op == "RNN":
        names = {name for one in recurrence.directions for name in one.activations}
        return "" if names in ({"tanh"}, {"relu"}) else "its activations are not tanh or relu throughout"
    return "" if recurrence.is_default else "its activations are not sigmoid and tanh"


def _states(recurrence: Recurrence, lowering: Lowering) -> tuple[int, ...]:
    """Return the variables of each direction, h before c."""
    number = len(recurrence.directions)
    if not any(recurrence.initial):
        cells = (_CELL, *range(STATES + number, STATES + 2 * number))
        exact = recurrence.operation.op == "RNN" or any(recurrence.wants(place) for place in cells)
        return zero_states(recurrence, lowering, number=number * len(recurrence.initial), exact=exact)
    by_kind = [_initial(recurrence, lowering, name, place) for place, name in enumerate(recurrence.initial)]
    return tuple(variables[direction] for direction in range(number) for variables in by_kind)


def _initial(recurrence: Recurrence, lowering: Lowering, name: str, kind: int) -> tuple[int, ...]:
    """Return the variables, one for each direction, of a kind of state."""
    if not name:
        return zero_states(recurrence, lowering, number=len(recurrence.directions), exact=True)
    if not lowering.is_constant(name):
        return given_states(recurrence, lowering, name)
    array = lowering.constant(recurrence.operation, 5 + kind)
    if bool((array == array[:, :1]).all()):
        return constant_states(recurrence, lowering, [rows[0] for rows in array])
    return given_states(recurrence, lowering, name)


def _write_lstm(
    recurrence: Recurrence, lowering: Lowering, *, source: int, states: Sequence[int], outputs: Sequence[int]
) -> None:
    if len(recurrence.directions) == 1:
        parameters = _lstm_parameters(recurrence, lowering, recurrence.directions[0])
        inputs = [source, *parameters, *states, *[_NONE] * 4]
        options = lowering.schema.UnidirectionalSequenceLSTMOptionsT()
        code = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    else:
        parameters = [number for one in recurrence.directions for number in _lstm_parameters(recurrence, lowering, one)]
        inputs = [source, *parameters, *states, *[_NONE] * _AUXILIARY]
        options = lowering.schema.BidirectionalSequenceLSTMOptionsT()
        options.mergeOutputs = len(outputs) == 1
        code = "BIDIRECTIONAL_SEQUENCE_LSTM"
    options.fusedActivationFunction = _TANH
    options.timeMajor = recurrence.time_major
    lowering.writer.add_operator(code, inputs, outputs, options=options)


def _lstm_parameters(recurrence: Recurrence, lowering: Lowering, direction: Direction) -> list[int]:
    """Return the 17 tensors of one direction: weights, recurrence, peepholes, biases, and no projection.

    Where input and forget gate are one (f = 1 - i), TFLite computes i = 1 - f: with the gate's numbers negated.
    """
    coupled = recurrence.input_forget
    first = _NONE if coupled else None

    def gates(name: str, array: NDArray[np.float32], order: Sequence[int]) -> list[int]:
        parts = array.reshape((-1, recurrence.hidden, *array.shape[1:]))
        return [lowering.writer.add_constant(name, np.ascontiguousarray(parts[place])) for place in order]

    def of_gates(name: str, array: NDArray[np.float32], order: Sequence[int]) -> list[int]:
        if first is None:
            return gates(name, array, order)
        negated = array.copy()
        negated[: recurrence.hidden] *= -1
        return [first, *gates(name, negated, (0, *order[2:]))]

    peepholes = [_NONE] * 3
    if direction.peepholes is not None:
        peepholes = of_gates("peephole", direction.peepholes, (0, 2, 1))
    return [
        *of_gates("weights", direction.weights, _IFCO),
        *of_gates("recurrence", direction.recurrence, _IFCO),
        *peepholes,
        *of_gates("bias", direction.bias, _IFCO),
        *[_NONE] * 2,
    ]


def _write_rnn(
    recurrence: Recurrence, lowering: Lowering, *, source: int, states: Sequence[int], outputs: Sequence[int]
) -> None:
    parameters = []
    for direction, state in zip(recurrence.directions, states, strict=True):
        constants = (direction.weights, direction.recurrence, direction.bias)
        parameters += [*(lowering.writer.add_constant("weights", array) for array in constants), state]
    options: Any
    if len(recurrence.directions) == 1:
        code, left_out, options = "UNIDIRECTIONAL_SEQUENCE_RNN", 0, lowering.schema.SequenceRNNOptionsT()
    else:
        code, left_out, options = "BIDIRECTIONAL_SEQUENCE_RNN", 3, lowering.schema.BidirectionalSequenceRNNOptionsT()
        options.mergeOutputs = True
    relu = recurrence.directions[0].activations == ("relu",)
    options.fusedActivationFunction = Activation.RELU.value if relu else _TANH
    options.timeMajor = recurrence.time_major
    lowering.writer.add_operator(code, [source, *parameters, *[_NONE] * left_out], outputs, options=options)
