"""Activations: what TFLite has in one operator, and short formulas for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.operators.elementwise.broadcasting import aligned
from optimizer.formats.tflite_emitter.operators.elementwise.formula import Formula, of_floats, require
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.rewrites.activations import activation_of

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

_UNARY: Final = {"HardSwish": "HARD_SWISH", "Sigmoid": "LOGISTIC", "Tanh": "TANH"}
_NUMBERS: Final = ("float32", "float64", "int32", "int64")
_SELU_ALPHA: Final = 1.67326319217681884765625
_SELU_GAMMA: Final = 1.05070102214813232421875


def lower_unary(operation: Operation, lowering: Lowering) -> None:
    """Write what TFLite has under another name."""
    formula = of_floats(operation, lowering)
    formula.result(_UNARY[operation.op], *formula.inputs.tensors)


def lower_relu(operation: Operation, lowering: Lowering) -> None:
    """Write a Relu that could not go into the operation before it; of integers as the larger of x and 0."""
    require(operation, lowering, served=_NUMBERS)
    formula = Formula.of_one(operation, lowering)
    if formula.element == np.float32:
        formula.result("RELU", *formula.inputs.tensors)
    else:
        formula.result("MAXIMUM", *formula.inputs.tensors, formula.number(0))


def lower_clip(operation: Operation, lowering: Lowering) -> None:
    """Write Clip, to any bounds, computed ones too.

    What can be fused becomes a product with 1 that has it fused: ai-edge-quantizer knows RELU alone, and would leave
    a standalone RELU6 in float.
    """
    require(operation, lowering, served=_NUMBERS)
    formula = Formula.of_one(operation, lowering)
    (value,) = formula.inputs.tensors
    fused = activation_of(operation, lowering.graph.constants)
    if formula.element != np.float32 or fused is Activation.NONE:
        _between(operation, lowering, formula)
    elif fused is Activation.RELU:
        formula.result("RELU", value)
    else:
        formula.result("MUL", value, formula.number(1.0), activation=fused)


def lower_leaky_relu(operation: Operation, lowering: Lowering) -> None:
    """Write LeakyRelu."""
    formula = of_floats(operation, lowering)
    formula.result("LEAKY_RELU", *formula.inputs.tensors, alpha=operation.number("alpha", 0.01))


def lower_prelu(operation: Operation, lowering: Lowering) -> None:
    """Write PRelu; with one slope for all as LEAKY_RELU."""
    require(operation, lowering, served=("float32", "float64"))
    shape, over = (lowering.graph.facts[name].shape for name in operation.inputs)
    if np.broadcast_shapes(shape, over) != shape:
        raise lowering.refusal(operation, "its slope has more places than its input; give one that broadcasts")
    slope = lowering.graph.constants.get(operation.input(1))
    if slope is not None and slope.size == 1 and slope.ndim <= len(lowering.result(operation).shape):
        formula = Formula.of_one(operation, lowering)
        formula.result("LEAKY_RELU", *formula.inputs.tensors, alpha=float(slope.item()))
    else:
        formula = Formula(operation, lowering, aligned(operation, lowering))
        formula.result("PRELU", *formula.inputs.tensors)


def lower_elu(operation: Operation, lowering: Lowering) -> None:
    """Write Elu, Celu and Selu by TFLite's ELU, whose alpha is 1, and a slope for what it made negative."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    alpha = operation.number("alpha", _SELU_ALPHA if operation.op == "Selu" else 1.0)
    gamma = operation.number("gamma", _SELU_GAMMA) if operation.op == "Selu" else 1.0
    if operation.op == "Celu" and alpha != 1.0:
        shrunk = formula.step("MUL", value, formula.number(1 / alpha))
        formula.result("MUL", formula.step("ELU", shrunk), formula.number(alpha))
    elif alpha == gamma == 1.0:
        formula.result("ELU", value)
    elif gamma == 1.0:
        formula.result("LEAKY_RELU", formula.step("ELU", value), alpha=alpha)
    else:
        sloped = formula.step("LEAKY_RELU", formula.step("ELU", value), alpha=alpha)
        formula.result("MUL", sloped, formula.number(gamma))


def lower_thresholded_relu(operation: Operation, lowering: Lowering) -> None:
    """Write x where it is above alpha, else 0."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    above = formula.step("GREATER", value, formula.number(operation.number("alpha", 1.0)), element=np.bool_)
    formula.result("SELECT_V2", above, value, formula.number(0.0))


def lower_hard_sigmoid(operation: Operation, lowering: Lowering) -> None:
    """Write alpha x + beta between 0 and 1 as a sixth of what RELU6 makes of six times as much."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    alpha, beta = operation.number("alpha", 0.2), operation.number("beta", 0.5)
    if not np.isclose(6 * alpha, 1.0, rtol=1e-6):
        value = formula.step("MUL", value, formula.number(6 * alpha))
    six = formula.step("ADD", value, formula.number(6 * beta), activation=Activation.RELU6)
    formula.result("MUL", six, formula.number(1 / 6))


def lower_swish(operation: Operation, lowering: Lowering) -> None:
    """Write x sigmoid(alpha x)."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    alpha = operation.number("alpha", 1.0)
    scaled = value if alpha == 1.0 else formula.step("MUL", value, formula.number(alpha))
    formula.result("MUL", value, formula.step("LOGISTIC", scaled))


def lower_softplus(operation: Operation, lowering: Lowering) -> None:
    """Write log(1 + exp x) as max(x, 0) - log(sigmoid |x|), which can't overflow."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    less = formula.step("LOG", formula.step("LOGISTIC", formula.step("ABS", value)))
    formula.result("SUB", formula.step("RELU", value), less)


def lower_mish(operation: Operation, lowering: Lowering) -> None:
    """Write x tanh(log(1 + exp x)); where exp overflows the tangent is 1 all the same."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    one_more = formula.step("ADD", formula.step("EXP", value), formula.number(1.0))
    formula.result("MUL", value, formula.step("TANH", formula.step("LOG", one_more)))


def lower_softsign(operation: Operation, lowering: Lowering) -> None:
    """Write x / (1 + |x|)."""
    formula = of_floats(operation, lowering)
    (value,) = formula.inputs.tensors
    formula.result("DIV", value, formula.step("ADD", formula.step("ABS", value), formula.number(1.0)))


def _between(operation: Operation, lowering: Lowering, formula: Formula) -> None:
    """Append MAXIMUM with the lower bound and MINIMUM with the upper one, as far as there are any."""
    (value,) = formula.inputs.tensors
    low, high = (_known_bound(operation, lowering, place=place, name=name) for place, name in ((1, "min"), (2, "max")))
    if (low, high) == (0.0, 1.0) and formula.element == np.float32:
        formula.result("RELU_0_TO_1", value)
        return
    bounds: list[tuple[str, int]] = []
    for place, code, number in ((1, "MAXIMUM", low), (2, "MINIMUM", high)):
        if number is None:
            given = lowering.value(operation.input(place))
            bounds.append((code, formula.beside(given.tensor, given.stored_shape)))
        elif number != (-np.inf if code == "MAXIMUM" else np.inf):
            bounds.append((code, formula.number(number)))
    for code, bound in bounds[:-1]:
        value = formula.step(code, value, bound)
    if bounds:
        formula.result(bounds[-1][0], value, bounds[-1][1])
    else:
        formula.done(value)


def _known_bound(operation: Operation, lowering: Lowering, *, place: int, name: str) -> float | int | None:
    """Return a bound, infinite where there is none; None where it is computed."""
    none = -np.inf if name == "min" else np.inf
    if not operation.input(place):
        return operation.number(name, none)
    if not lowering.is_constant(operation.input(place)):
        return None
    number: float | int = lowering.constant(operation, place).item()
    lowest_float = abs(number) >= float(np.finfo(np.float32).max)
    return none if lowest_float and (number > 0) == (none > 0) else number


ENTRIES: Mapping[str, Entry] = {
    **{op: Entry(lower=lower_unary, writes=(code,), any_layout=True) for op, code in _UNARY.items()},
    "Celu": Entry(lower=lower_elu, writes=("ELU", "MUL"), any_layout=True),
    "Clip": Entry(lower=lower_clip, writes=("MUL", "RELU", "RELU_0_TO_1", "MAXIMUM", "MINIMUM"), any_layout=True),
    "Elu": Entry(lower=lower_elu, writes=("ELU", "LEAKY_RELU"), any_layout=True),
    "HardSigmoid": Entry(lower=lower_hard_sigmoid, writes=("MUL", "ADD"), any_layout=True),
    "LeakyRelu": Entry(lower=lower_leaky_relu, writes=("LEAKY_RELU",), any_layout=True),
    "Mish": Entry(lower=lower_mish, writes=("EXP", "ADD", "LOG", "TANH", "MUL"), any_layout=True),
    "PRelu": Entry(lower=lower_prelu, writes=("PRELU", "LEAKY_RELU"), any_layout=True, limits="floats"),
    "Relu": Entry(lower=lower_relu, writes=("RELU", "MAXIMUM"), any_layout=True),
    "Selu": Entry(lower=lower_elu, writes=("ELU", "LEAKY_RELU", "MUL"), any_layout=True),
    "Softplus": Entry(lower=lower_softplus, writes=("ABS", "LOGISTIC", "LOG", "RELU", "SUB"), any_layout=True),
    "Softsign": Entry(lower=lower_softsign, writes=("ABS", "ADD", "DIV"), any_layout=True),
    "Swish": Entry(lower=lower_swish, writes=("LOGISTIC", "MUL"), any_layout=True),
    "ThresholdedRelu": Entry(lower=lower_thresholded_relu, writes=("GREATER", "SELECT_V2"), any_layout=True),
}
