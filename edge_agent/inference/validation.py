"""From what a client sent to arrays that the model takes, or one sentence that says what is wrong.

Everything is checked against the manifest: element type, shape, number of values, and that each value is a number in
the stated range. What comes out of here can be inferred; nothing is rounded, truncated or converted silently. Messages
cite at most one value, and go to the client only.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from contracts.preprocessing import DTYPES
from contracts.tensors import ElementType, TensorSpec
from edge_agent.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.engine import Tensors

_FLOATS = (ElementType.FP32, ElementType.FP16)
_ALLOWED: Mapping[ElementType, frozenset[type]] = {
    element: frozenset({bool} if element is ElementType.BOOL else {int, float} if element in _FLOATS else {int})
    for element in ElementType
}
_WANTED: Mapping[ElementType, str] = {
    element: "true or false" if element is ElementType.BOOL else "numbers" if element in _FLOATS else "whole numbers"
    for element in ElementType
}


def check_type(spec: TensorSpec, datatype: object) -> None:
    """Refuse another element type than the model's.

    Raises:
        InvalidRequest: it is another one.
    """
    if datatype != spec.element:
        raise InvalidRequest(f"input {spec.name!r}: datatype is {_cut(datatype)}, the model takes {spec.element}")


def check_shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    """Return the shape, if it is one of at least one row of this input.

    Raises:
        InvalidRequest: not a list of sizes, or not the model's.
    """
    wanted = list(spec.shape)
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        raise InvalidRequest(f"input {spec.name!r}: shape must be a list of whole numbers like {wanted}")
    fits = len(shape) == len(wanted) and shape[1:] == wanted[1:]
    if not fits or (wanted and (shape[0] < 1 or wanted[0] not in (-1, shape[0]))):
        raise InvalidRequest(
            f"input {spec.name!r}: shape is {_cut(shape)}, the model takes {wanted} (-1: one row or more)"
        )
    return tuple(shape)


def from_json(spec: TensorSpec, data: object, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Return the values of a JSON list, flat or nested as the shape says.

    Args:
        spec: the served input.
        data: what the request holds under ``data``.
        shape: as ``check_shape`` returned it.

    Raises:
        InvalidRequest: not a list, ragged, too many or too few values, or one that is no number of the type.
    """
    flat = _flat(spec, data, shape)
    count = math.prod(shape)
    if len(flat) != count:
        raise InvalidRequest(f"input {spec.name!r}: {len(flat)} values for shape {list(shape)}, which holds {count}")
    odd = set(map(type, flat)) - _ALLOWED[spec.element]
    if odd:
        kinds = ", ".join(sorted(kind.__name__ for kind in odd))
        raise InvalidRequest(
            f"input {spec.name!r}: data holds {kinds}; {spec.element} takes {_WANTED[spec.element]} only"
        )
    values = _array(spec, flat).reshape(shape)
    _check_range(spec, values)
    return values


def from_bytes(spec: TensorSpec, raw: memoryview, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Return the values of a binary tensor: little-endian elements, row by row, without copying where it is aligned.

    Raises:
        InvalidRequest: too many or too few bytes, or a value that is no number of the type.
    """
    dtype = DTYPES[spec.element]
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise InvalidRequest(
            f"input {spec.name!r}: {len(raw)} bytes for shape {list(shape)} of {spec.element}, which takes {wanted}"
        )
    if spec.element is ElementType.BOOL and not set(raw) <= {0, 1}:
        raise InvalidRequest(f"input {spec.name!r}: a BOOL is one byte, 0 or 1")
    values: NDArray[np.generic] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    if not values.flags.aligned:
        values = values.copy()
    _check_range(spec, values)
    return values


def check_together(specs: Sequence[TensorSpec], inputs: Tensors) -> None:
    """Refuse inputs that are not exactly the model's, each with the same number of rows.

    Raises:
        InvalidRequest: one is missing, or the rows differ.
    """
    for spec in specs:
        if spec.name not in inputs:
            raise InvalidRequest(f"input {spec.name!r} is missing; the model takes {_names(specs)}")
    rows = {name: values.shape[0] for name, values in inputs.items() if values.ndim}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in rows.items())
        raise InvalidRequest(f"inputs have different numbers of rows ({listed}); send the same number of each")


def find_spec(specs: Sequence[TensorSpec], what: str, name: object) -> TensorSpec:
    """Return the spec of that name.

    Raises:
        InvalidRequest: the model has none.
    """
    for spec in specs:
        if spec.name == name:
            return spec
    raise InvalidRequest(f"no {what} {_cut(name)}; the model's are {_names(specs)}")


def _flat(spec: TensorSpec, data: object, shape: tuple[int, ...]) -> list[object]:
    if not isinstance(data, list):
        raise InvalidRequest(f"input {spec.name!r}: data must be a list of {_WANTED[spec.element]}")
    level: list[object] = data
    for place, size in enumerate(shape):
        if not level or not isinstance(level[0], list):
            return level
        if place == 0 and len(level) != size:
            raise InvalidRequest(f"input {spec.name!r}: data holds {len(level)} rows for shape {list(shape)}")
        lists = [part for part in level if isinstance(part, list)]
        if len(lists) != len(level) or place + 1 == len(shape) or {len(part) for part in lists} != {shape[place + 1]}:
            raise InvalidRequest(f"input {spec.name!r}: data is not nested as its shape {list(shape)} says")
        level = list(chain.from_iterable(lists))
    return level


def _array(spec: TensorSpec, flat: list[object]) -> NDArray[np.generic]:
    dtype = DTYPES[spec.element]
    numbers: list[float] = flat  # type: ignore[assignment]  # their types were checked one by one
    try:
        if spec.element in _FLOATS:
            with np.errstate(over="ignore"):
                return np.fromiter(numbers, np.float64, len(numbers)).astype(dtype)
        if spec.element is ElementType.BOOL:
            return np.fromiter(numbers, dtype, len(numbers))
        whole = np.fromiter(numbers, np.int64, len(numbers))
    except OverflowError as error:
        raise InvalidRequest(f"input {spec.name!r}: a value does not fit {spec.element}") from error
    limits = np.iinfo(dtype.name)
    if whole.size and (whole.min() < limits.min or whole.max() > limits.max):
        raise InvalidRequest(
            f"input {spec.name!r}: {spec.element} holds {limits.min} to {limits.max}, not all values do"
        )
    return whole.astype(dtype)


def _check_range(spec: TensorSpec, values: NDArray[np.generic]) -> None:
    if spec.element is ElementType.BOOL:
        return
    lowest, highest = float(values.min()), float(values.max())
    low = -np.inf if spec.low is None else spec.low
    high = np.inf if spec.high is None else spec.high
    # NaN makes both extremes NaN and every comparison false, so this one line also finds it.
    if low <= lowest and highest <= high and math.isfinite(lowest) and math.isfinite(highest):
        return
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise InvalidRequest(f"input {spec.name!r} holds NaN, an infinity or a value too large for {spec.element}")
    odd, side = (lowest, "below") if lowest < low else (highest, "above")
    raise InvalidRequest(f"input {spec.name!r}: {odd:g} is {side} the model's stated range, {low:g} to {high:g}")


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(repr(spec.name) for spec in specs)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
