"""What a small cone of operations computes, found by computing it: exporters spell one formula in many orders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.rewrites.editing import Editing

_DEEPEST: Final = 14
"""Operations between the ends of a formula at most."""
_ERF: Final = np.vectorize(math.erf, otypes=[np.float64])
_FUNCTIONS: Final[Mapping[str, Callable[..., NDArray[Any]]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Neg": np.negative,
    "Tanh": np.tanh,
    "Erf": _ERF,
}


def computed(
    editing: Editing, name: str, given: Mapping[str, NDArray[Any]], *, axes: tuple[int, ...] = ()
) -> NDArray[Any] | None:
    """Return the value for given ones, in double precision; None where it depends on anything but them and scalars.

    Means over exactly those axes of the graph are means over the last axis of the given arrays.
    """
    return _value(editing, name, dict(given), axes, _DEEPEST)


def above(editing: Editing, name: str) -> Iterator[str]:
    """Name the values that lead to the value through such operations, nearest first, constants left out."""
    waiting, seen = [name], {name}
    while waiting and len(seen) <= _DEEPEST:
        current = waiting.pop(0)
        yield current
        made = editing.producer(current)
        if made is None or made.op not in (*_FUNCTIONS, "ReduceMean"):
            continue
        for source in made.inputs:
            if source and source not in seen and editing.constant(source) is None:
                seen.add(source)
                waiting.append(source)


def below(editing: Editing, name: str, *, steps: int) -> tuple[str, ...]:
    """Return the values that come of the value through its only readers, furthest first."""
    found: list[str] = []
    current = name
    while len(found) < steps:
        reader = editing.sole_reader(current)
        if reader is None or reader.op not in _FUNCTIONS:
            break
        current = reader.output
        found.append(current)
    return tuple(reversed(found))


def mean_axes(editing: Editing, operation: Operation) -> tuple[int, ...]:
    """Return the axes, from 0 up, that a ReduceMean which keeps them runs over; empty for any other."""
    fact = editing.fact(operation.input(0))
    if operation.op != "ReduceMean" or fact is None or operation.integer("keepdims", 1) != 1:
        return ()
    given: Iterable[int] = operation.integers("axes", ())
    if operation.input(1):
        array = editing.constant(operation.input(1))
        given = () if array is None else tuple(int(axis) for axis in array.reshape(-1))
    return tuple(sorted(axis % len(fact.shape) for axis in given))


def _value(
    editing: Editing, name: str, known: dict[str, NDArray[Any]], axes: tuple[int, ...], depth: int
) -> NDArray[Any] | None:
    if name in known:
        return known[name]
    scalar = editing.scalar(name)
    if scalar is not None:
        return np.asarray(scalar, dtype=np.float64)
    made = editing.producer(name)
    if made is None or depth == 0:
        return None
    if made.op == "ReduceMean":
        values = (
            [_value(editing, made.input(0), known, axes, depth - 1)] if mean_axes(editing, made) == axes else [None]
        )
    else:
        values = [_value(editing, source, known, axes, depth - 1) for source in made.inputs]
    if any(value is None for value in values) or made.op not in (*_FUNCTIONS, "ReduceMean"):
        return None
    with np.errstate(all="ignore"):
        known[name] = (
            np.mean(values[0], axis=-1, keepdims=True)  # type: ignore[arg-type]  # None was left out above
            if made.op == "ReduceMean"
            else _FUNCTIONS[made.op](*values)
        )
    return known[name]
