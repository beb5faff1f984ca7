"""The state of a sequence operator: tensors that keep their value between calls, written anew at the start of each.

TFLite's sequence operators begin with what the call before left, unless the caller clears the variables. So the file
does it: an operator before the sequence gives the variables as its outputs. It is right for any caller, takes half a
microsecond, and gives the variables the caller's batch, which nothing else would.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.formats.tflite_emitter.lowering import Lowering
    from optimizer.formats.tflite_emitter.operators.recurrent.recurrence import Recurrence

_LARGEST: Final = 4096
"""Weights of the product with zeros at most: 16 KiB."""


def zero_states(recurrence: Recurrence, lowering: Lowering, *, number: int, exact: bool) -> tuple[int, ...]:
    """Return that many variables of N x H elements, zero whenever the sequence begins.

    ``exact`` asks for the shape (N, H); otherwise the elements may lie in other rows, as the LSTM does not mind.
    """
    rows = 1 if exact else _rows(recurrence, number)
    width = recurrence.hidden // rows
    shape = (recurrence.rows * rows, width)
    variables = tuple(lowering.writer.add_variable("state", shape) for _ in range(number))
    if recurrence.free:
        zeros = _product(recurrence, lowering, rows=rows, values=np.zeros(number * width), into=_only(variables))
    else:
        zeros = lowering.writer.add_constant("zeros", np.zeros((shape[0], number * width), dtype=np.float32))
        if number == 1:
            _zeros_like(lowering, zeros, variables[0])
    if number > 1:
        split_into(lowering, zeros, variables)
    return variables


def constant_states(
    recurrence: Recurrence, lowering: Lowering, arrays: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
) -> tuple[int, ...]:
    """Return variables that hold these rows (each of H) in every row of the batch whenever the sequence begins."""
    shape = (recurrence.rows, recurrence.hidden)
    variables = tuple(lowering.writer.add_variable("state", shape) for _ in arrays)
    values = _product(recurrence, lowering, rows=1, values=np.concatenate(arrays), into=_only(variables))
    if len(variables) > 1:
        split_into(lowering, values, variables)
    return variables


def given_states(recurrence: Recurrence, lowering: Lowering, name: str) -> tuple[int, ...]:
    """Return the variables, one for each direction, that hold a given state (D, N, H) whenever the sequence begins."""
    value = lowering.value(name)
    directions = len(recurrence.directions)
    plain_value = lowering.as_plain(value)
    shape = (recurrence.rows, recurrence.hidden)
    variables = tuple(lowering.writer.add_variable("state", shape) for _ in range(directions))
    if directions > 1:
        options = lowering.schema.UnpackOptionsT()
        options.num, options.axis = directions, 0
        lowering.writer.add_operator("UNPACK", (plain_value.tensor,), variables, options=options)
        return variables
    options = lowering.schema.ReshapeOptionsT()
    options.newShape = [-1, recurrence.hidden]
    target = lowering.numbers(options.newShape, "shape")
    lowering.writer.add_operator("RESHAPE", (plain_value.tensor, target), variables, options=options)
    return variables


def split_into(lowering: Lowering, tensor: int, parts: Sequence[int]) -> None:
    """Cut (rows, columns) into equal columns, given as those tensors."""
    options = lowering.schema.SplitOptionsT()
    options.numSplits = len(parts)
    axis = lowering.writer.add_constant("axis", np.asarray(1, dtype=np.int32))
    lowering.writer.add_operator("SPLIT", (axis, tensor), parts, options=options)


def _only(variables: Sequence[int]) -> int | None:
    return variables[0] if len(variables) == 1 else None


def _rows(recurrence: Recurrence, number: int) -> int:
    """Return in how many rows a state may lie so that one product with the whole input makes it: 1 where none does."""
    elements = recurrence.steps * recurrence.source.shape[2]
    rows = math.gcd(elements, recurrence.hidden)
    weights = elements // rows * (number * recurrence.hidden // rows)
    return rows if weights <= _LARGEST else 1


def _product(
    recurrence: Recurrence,
    lowering: Lowering,
    *,
    rows: int,
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    into: int | None,
) -> int:
    """Return a tensor that holds the values in each of (N x ``rows``) rows, whatever the input is, if it is finite.

    It is a product of the input with zeros: of all of it where its elements fall into rows, else of one number of each
    row of the batch. ``into`` is a tensor to write it to.
    """
    source, elements = recurrence.source.tensor, recurrence.steps * recurrence.source.shape[2] // rows
    if elements * len(values) > _LARGEST:
        source, elements = _first_number(recurrence, lowering), 1
    options = lowering.schema.FullyConnectedOptionsT()
    zeros = lowering.writer.add_constant("zeros", np.zeros((len(values), elements), dtype=np.float32))
    bias = lowering.writer.add_constant("begin", values.astype(np.float32)) if values.any() else -1
    output = into
    if output is None:
        output = lowering.writer.add_tensor("begin", (recurrence.rows * rows, len(values)))
    lowering.writer.add_operator("FULLY_CONNECTED", (source, zeros, bias), (output,), options=options)
    return output


def _first_number(recurrence: Recurrence, lowering: Lowering) -> int:
    """Return (N, 1): the first number of the first step of each row."""
    time, batch = recurrence.time_place, 1 - recurrence.time_place
    options = lowering.schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = 1 << batch
    options.shrinkAxisMask = 1 << time
    inputs = (recurrence.source.tensor, *(lowering.numbers(numbers) for numbers in ((0, 0, 0), (1, 1, 1), (1, 1, 1))))
    return lowering.step("STRIDED_SLICE", inputs, "first", shape=(recurrence.rows, 1), options=options)


def _zeros_like(lowering: Lowering, tensor: int, variable: int) -> None:
    lowering.writer.add_operator("ZEROS_LIKE", (tensor,), (variable,), options=lowering.schema.ZerosLikeOptionsT())
