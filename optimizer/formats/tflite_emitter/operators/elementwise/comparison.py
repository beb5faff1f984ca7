"""Operators that ask or choose: comparisons, logic, tests for NaN and infinity, bits, Where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.operators.elementwise.broadcasting import aligned
from optimizer.formats.tflite_emitter.operators.elementwise.formula import Formula, of_floats, require
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_COMPARED: Final = ("float32", "float64", "int32", "int64")
_BITS: Final = ("int8", "int16", "int32", "uint8")
_CHOSEN: Final = (*_COMPARED, "bool", "int8", "int16", "uint8")
_PAIRS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "And": ("LOGICAL_AND", ("bool",)),
    "BitwiseXor": ("BITWISE_XOR", _BITS),
    "Equal": ("EQUAL", (*_COMPARED, "bool")),
    "Greater": ("GREATER", _COMPARED),
    "GreaterOrEqual": ("GREATER_EQUAL", _COMPARED),
    "Less": ("LESS", _COMPARED),
    "LessOrEqual": ("LESS_EQUAL", _COMPARED),
    "Or": ("LOGICAL_OR", ("bool",)),
    "Xor": ("NOT_EQUAL", ("bool",)),
}
"""TFLite's operator of two sides, and the types that it takes."""


def lower_pair(operation: Operation, lowering: Lowering) -> None:
    """Write a comparison or a logical operator of two sides."""
    code, served = _PAIRS[operation.op]
    require(operation, lowering, served=served)
    formula = Formula(operation, lowering, aligned(operation, lowering))
    formula.result(code, *formula.inputs.tensors)


def lower_where(operation: Operation, lowering: Lowering) -> None:
    """Write Where, its three sides broadcast."""
    require(operation, lowering, served=_CHOSEN, place=1)
    formula = Formula(operation, lowering, aligned(operation, lowering))
    formula.result("SELECT_V2", *formula.inputs.tensors)


def lower_not(operation: Operation, lowering: Lowering) -> None:
    """Write Not."""
    formula = Formula.of_one(operation, lowering)
    formula.result("LOGICAL_NOT", *formula.inputs.tensors)


def lower_bitwise_not(operation: Operation, lowering: Lowering) -> None:
    """Write BitwiseNot: every bit against one that is set."""
    require(operation, lowering, served=_BITS)
    formula = Formula.of_one(operation, lowering)
    ones = np.iinfo(formula.element).max if formula.element.kind == "u" else -1
    formula.result("BITWISE_XOR", *formula.inputs.tensors, formula.number(ones))


def lower_is_nan(operation: Operation, lowering: Lowering) -> None:
    """Write IsNaN: nothing else differs from itself."""
    formula = of_floats(operation, lowering)
    formula.result("NOT_EQUAL", *formula.inputs.tensors * 2)


def lower_is_inf(operation: Operation, lowering: Lowering) -> None:
    """Write IsInf: equal to one infinity, or the absolute value to it."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    above, below = operation.integer("detect_positive", 1), operation.integer("detect_negative", 1)
    if above and below:
        formula.result("EQUAL", formula.step("ABS", value), formula.number(np.inf))
    elif above or below:
        formula.result("EQUAL", value, formula.number(np.inf if above else -np.inf))
    else:
        formula.result("LESS", value, formula.number(-np.inf))


ENTRIES: Mapping[str, Entry] = {
    **{op: Entry(lower=lower_pair, writes=(code,), any_layout=True) for op, (code, _) in _PAIRS.items()},
    "BitwiseNot": Entry(lower=lower_bitwise_not, writes=("BITWISE_XOR",), any_layout=True),
    "BitwiseXor": Entry(lower=lower_pair, writes=("BITWISE_XOR",), any_layout=True, limits="not of int64"),
    "IsInf": Entry(lower=lower_is_inf, writes=("ABS", "EQUAL"), any_layout=True),
    "IsNaN": Entry(lower=lower_is_nan, writes=("NOT_EQUAL",), any_layout=True),
    "Not": Entry(lower=lower_not, writes=("LOGICAL_NOT",), any_layout=True),
    "Where": Entry(lower=lower_where, writes=("SELECT_V2",), any_layout=True),
}
