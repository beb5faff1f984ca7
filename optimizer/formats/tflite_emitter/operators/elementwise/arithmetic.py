"""Arithmetic on each element alone: roots, logarithms, rounding, sums and products with broadcasting, casts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.operators.elementwise.broadcasting import aligned
from optimizer.formats.tflite_emitter.operators.elementwise.formula import Formula, of_floats, require
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_UNARY: Final = {
    "Ceil": "CEIL",
    "Cos": "COS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "Log": "LOG",
    "Round": "ROUND",
    "Sin": "SIN",
    "Sqrt": "SQRT",
}
_BINARY: Final = {"Add": "ADD", "Div": "DIV", "Mul": "MUL", "Sub": "SUB"}
_FOLDS: Final = {"Max": "MAXIMUM", "Mean": "ADD", "Min": "MINIMUM", "Sum": "ADD"}
_INTEGERS: Final = ("int32", "int64")
_NUMBERS: Final = ("float32", "float64", *_INTEGERS)
_SMALL_INDEX: Final = frozenset({"ArgMax", "ArgMin", "TopK", "NonMaxSuppression"})
"""Operators whose int64 results are places in a tensor, which int32 holds."""
_ERF_SATURATES: Final = 4.0
"""Beyond it erf is 1 in float32."""
_TINY: Final = 1e-30


def lower_unary(operation: Operation, lowering: Lowering) -> None:
    """Write what TFLite has under another name, in whatever layout the value has."""
    formula = of_floats(operation, lowering)
    formula.result(_UNARY[operation.op], *formula.inputs.tensors)


def lower_abs(operation: Operation, lowering: Lowering) -> None:
    """Write Abs; of int64 as the larger of x and -x."""
    formula = Formula.of_one(operation, lowering)
    (value,) = formula.inputs.tensors
    if formula.element == np.int64:
        formula.result("MAXIMUM", value, formula.step("NEG", value))
    else:
        require(operation, lowering, served=_NUMBERS)
        formula.result("ABS", value)


def lower_neg(operation: Operation, lowering: Lowering) -> None:
    """Write Neg; of floats as a product with -1, which ai-edge-quantizer knows."""
    require(operation, lowering, served=_NUMBERS)
    formula = Formula.of_one(operation, lowering)
    if formula.element == np.float32:
        formula.result("MUL", *formula.inputs.tensors, formula.number(-1.0))
    else:
        formula.result("NEG", *formula.inputs.tensors)


def lower_sign(operation: Operation, lowering: Lowering) -> None:
    """Write Sign; of int64 as the value between -1 and 1."""
    require(operation, lowering, served=_NUMBERS)
    formula = Formula.of_one(operation, lowering)
    (value,) = formula.inputs.tensors
    if formula.element == np.int64:
        formula.result("MINIMUM", formula.step("MAXIMUM", value, formula.number(-1)), formula.number(1))
    else:
        formula.result("SIGN", value)


def lower_reciprocal(operation: Operation, lowering: Lowering) -> None:
    """Write 1 / x."""
    formula = of_floats(operation, lowering)
    formula.result("DIV", formula.number(1.0), *formula.inputs.tensors)


def lower_tan(operation: Operation, lowering: Lowering) -> None:
    """Write sin x / cos x."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    formula.result("DIV", formula.step("SIN", value), formula.step("COS", value))


def lower_erf(operation: Operation, lowering: Lowering) -> None:
    """Write erf by GELU(y) = y (1 + erf(y / sqrt 2)) / 2, at y = sqrt 2 x; x stays beside 0 and where erf moves."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    share = formula.step("MUL", value, formula.number(1 / _ERF_SATURATES))
    share = formula.step("ADD", share, formula.number(_TINY), activation=Activation.RELU_N1_TO_1)
    scaled = formula.step("MUL", share, formula.number(_ERF_SATURATES * np.sqrt(2)))
    half = formula.step("MUL", share, formula.number(_ERF_SATURATES / np.sqrt(2)))
    formula.result(
        "SUB", formula.step("DIV", formula.step("GELU", scaled), half), formula.number(1.0), activation=Activation.NONE
    )


def lower_binary(operation: Operation, lowering: Lowering) -> None:
    """Write Add, Sub, Mul and Div, with one or two computed sides."""
    require(operation, lowering, served=_NUMBERS)
    formula = Formula(operation, lowering, aligned(operation, lowering))
    if operation.op == "Div" and formula.element == np.int64:
        _divide_indices(operation, lowering, formula)
        return
    formula.result(_BINARY[operation.op], *formula.inputs.tensors)


def lower_fold(operation: Operation, lowering: Lowering) -> None:
    """Write Sum, Mean, Min and Max of any number of values, two by two."""
    require(operation, lowering, served=_NUMBERS)
    formula = Formula(operation, lowering, aligned(operation, lowering))
    first, *others = formula.inputs.tensors
    mean = operation.op == "Mean" and bool(others)
    code = _FOLDS[operation.op]
    for place, other in enumerate(others):
        if place == len(others) - 1 and not mean:
            formula.result(code, first, other)
            return
        first = formula.step(code, first, other)
    if mean:
        formula.result("MUL", first, formula.number(1 / len(operation.inputs)))
    else:
        formula.done(first)


def lower_pow(operation: Operation, lowering: Lowering) -> None:
    """Write Pow: whole and half powers as products and roots, which is quicker and can be quantized, else POW."""
    exponent = lowering.graph.constants.get(operation.input(1))
    kept = lowering.shape(operation, operation.input(0)) == lowering.result(operation).shape
    if exponent is not None and exponent.size == 1 and kept and _short_power(operation, lowering, exponent.item()):
        return
    elements = [lowering.fact(operation, name).element for name in operation.inputs]
    if elements[0] == np.int32 and (exponent is None or exponent.dtype.kind == "f" or bool((exponent < 0).any())):
        raise lowering.refusal(operation, "it raises integers to a power that is computed, broken or negative")
    require(operation, lowering, served=("float32", "float64", "int32"))
    formula = Formula(operation, lowering, aligned(operation, lowering))
    base, power = formula.inputs.tensors
    if elements[1].kind != elements[0].kind:
        power = formula.step("CAST", power)
    formula.result("POW", base, power)


def lower_mod(operation: Operation, lowering: Lowering) -> None:
    """Write Mod: FLOOR_MOD has the divisor's sign; with fmod the remainder of absolute values takes the dividend's."""
    require(operation, lowering, served=_NUMBERS)
    formula = Formula(operation, lowering, aligned(operation, lowering))
    value, divisor = formula.inputs.tensors
    if not operation.integer("fmod", 0):
        if formula.element.kind == "f":
            raise lowering.refusal(operation, "it is of floats without fmod=1, which ONNX excludes")
        formula.result("FLOOR_MOD", value, divisor)
        return
    rest = formula.step("FLOOR_MOD", _absolute(formula, value), _absolute(formula, divisor))
    negative = formula.step("LESS", value, formula.number(0), element=np.bool_)
    formula.result("SELECT_V2", negative, formula.step("NEG", rest), rest)


def lower_cast(operation: Operation, lowering: Lowering) -> None:
    """Write Cast and CastLike; doubles are floats here."""
    formula = Formula.of_one(operation, lowering)
    before = lowering.fact(operation, operation.input(0)).element
    after = lowering.result(operation).element
    for element in (before, after):
        if element.name not in ("float32", "float64", "int32", "int64", "bool", "uint8", "int8", "int16"):
            raise lowering.refusal(operation, f"{element.name} is not computed in; export the model in float32")
    if "float64" in (before.name, after.name) and {before.name, after.name} & set(_INTEGERS):
        raise lowering.refusal(operation, "doubles are computed as floats, which do not hold every integer")
    if before == after or {before.name, after.name} == {"float32", "float64"}:
        formula.done(*formula.inputs.tensors)
    else:
        formula.result("CAST", *formula.inputs.tensors)


def _short_power(operation: Operation, lowering: Lowering, exponent: float) -> bool:
    """Write x to the power of 1, 2, 3, 1/2, -1/2 or -1, and say so; False for any other, and for integers' roots."""
    formula = Formula.of_one(operation, lowering)
    (value,) = formula.inputs.tensors
    if exponent == 1.0:
        formula.done(value)
    elif exponent == 2.0:
        formula.result("MUL", value, value)
    elif exponent == 3.0:
        formula.result("MUL", formula.step("MUL", value, value), value)
    elif formula.element == np.float32 and exponent in (0.5, -0.5):
        formula.result("SQRT" if exponent > 0 else "RSQRT", value)
    elif formula.element == np.float32 and exponent == -1.0:
        formula.result("DIV", formula.number(1.0), value)
    else:
        return False
    return True


def _divide_indices(operation: Operation, lowering: Lowering, formula: Formula) -> None:
    """Divide places in a tensor as int32: TFLite has no division of int64."""
    known = {name: item.op for item in lowering.graph.operations for name in item.outputs}
    if known.get(operation.input(0)) not in _SMALL_INDEX or not lowering.is_constant(operation.input(1)):
        raise lowering.refusal(
            operation, "it divides int64, which may not fit the int32 of TFLite's division: cast to int32 before it"
        )
    narrow = [formula.step("CAST", tensor, element=np.int32) for tensor in formula.inputs.tensors]
    formula.result("CAST", formula.step("DIV", *narrow, element=np.int32))


def _absolute(formula: Formula, tensor: int) -> int:
    if formula.element == np.int64:
        return formula.step("MAXIMUM", tensor, formula.step("NEG", tensor))
    return formula.step("ABS", tensor)


ENTRIES: Mapping[str, Entry] = {
    **{op: Entry(lower=lower_unary, writes=(code,), any_layout=True) for op, code in _UNARY.items()},
    **{op: Entry(lower=lower_binary, writes=(code,), any_layout=True) for op, code in _BINARY.items()},
    **{op: Entry(lower=lower_fold, writes=(code,), any_layout=True) for op, code in _FOLDS.items()},
    "Abs": Entry(lower=lower_abs, writes=("ABS",), any_layout=True),
    "Cast": Entry(lower=lower_cast, writes=("CAST",), any_layout=True, limits="not to half floats, nor to text"),
    "CastLike": Entry(lower=lower_cast, writes=("CAST",), any_layout=True, limits="not to half floats, nor to text"),
    "Div": Entry(
        lower=lower_binary,
        writes=("DIV",),
        any_layout=True,
        limits="int64 only where it is known to be small: places that ArgMax, TopK and the like give",
    ),
    "Erf": Entry(lower=lower_erf, writes=("MUL", "ADD", "GELU", "DIV", "SUB"), any_layout=True),
    "Mean": Entry(lower=lower_fold, writes=("ADD", "MUL"), any_layout=True),
    "Mod": Entry(lower=lower_mod, writes=("FLOOR_MOD", "ABS", "LESS", "NEG", "SELECT_V2"), any_layout=True),
    "Neg": Entry(lower=lower_neg, writes=("MUL", "NEG"), any_layout=True),
    "Pow": Entry(
        lower=lower_pow,
        writes=("POW", "MUL", "SQRT", "RSQRT", "DIV"),
        any_layout=True,
        limits="integers only to a constant whole power",
    ),
    "Reciprocal": Entry(lower=lower_reciprocal, writes=("DIV",), any_layout=True),
    "Sign": Entry(lower=lower_sign, writes=("SIGN",), any_layout=True),
    "Tan": Entry(lower=lower_tan, writes=("SIN", "COS", "DIV"), any_layout=True),
}
