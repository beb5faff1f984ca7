"""Formulas that spell out an operator, such as x clip(x + 3, 0, 6) / 6 for HardSwish; Sum of two is Add."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from optimizer.formats.tflite_emitter.graph import Activation, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.pointwise.clamps import clamp_of

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

Named = tuple[str, tuple[str, ...]]
"""The operator that a formula spells out, and its inputs."""
_CLOSE: Final = 1e-6


def name_formulas(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such formulas as one operation; what nobody else reads of them is gone."""
    editing = Editing(graph)
    for operation in graph.operations:
        found = next((formula for find in _FORMULAS if (formula := find(editing, operation))), None)
        if found is None or editing.fact(found[1][0]) != editing.fact(operation.output):
            continue
        op, inputs = found
        named = Operation(
            op=op, name=operation.name, inputs=inputs, outputs=operation.outputs, activation=operation.activation
        )
        editing.replace([operation], [named])
    return editing.finish()


def _hard_swish(editing: Editing, operation: Operation) -> Named | None:
    """Return x, where the operation gives x times its own hard sigmoid, with a sixth in whatever place."""
    if operation.op not in ("Mul", "Div") or operation.activation is not Activation.NONE:
        return None
    name, scale = _unscaled(editing, operation.output, is_root=True)
    product = editing.producer_of(name, "Mul")
    if product is None or product.activation is not Activation.NONE:
        return None
    for left, right in (product.inputs, product.inputs[::-1]):
        (value, factor), (sigmoid, share) = _unscaled(editing, left), _unscaled(editing, right)
        times = _sigmoids(editing, sigmoid, of=value)
        if times is not None and abs(times * scale * factor * share - 1) < _CLOSE:
            return "HardSwish", (value,)
    return None


def _unscaled(editing: Editing, name: str, *, is_root: bool = False) -> tuple[str, float]:
    """Return the value without the products with numbers that lead to it alone, and those numbers' product."""
    scale = 1.0
    while is_root or editing.is_inner(name):
        made = editing.producer_of(name, "Mul", "Div")
        if made is None or made.activation is not Activation.NONE:
            break
        value, number = made.input(0), editing.scalar(made.input(1))
        if number is None and made.op == "Mul":
            value, number = made.input(1), editing.scalar(made.input(0))
        if not number:
            break
        name, scale, is_root = value, scale * number if made.op == "Mul" else scale / number, False
    return name, scale


def _sigmoids(editing: Editing, name: str, *, of: str) -> float | None:
    """Return k, where the value is k times the hard sigmoid x / 6 + 1/2 of x, cut off at 0 and 1; None else."""
    made = editing.producer(name)
    if made is None or made.activation is not Activation.NONE:
        return None
    if made.op == "HardSigmoid" and made.input(0) == of:
        alpha, beta = made.number("alpha", 0.2), made.number("beta", 0.5)
        return 1.0 if abs(6 * alpha - 1) < _CLOSE and beta == 0.5 else None
    clamp = clamp_of(editing, made)
    if clamp is None or (clamp.low, clamp.high) != (0.0, 6.0):
        return None
    moved = editing.producer_of(clamp.value, "Add")
    if moved is None or of not in moved.inputs or moved.activation is not Activation.NONE:
        return None
    return 6.0 if 3.0 in [editing.scalar(one) for one in moved.inputs] else None


def _mish(editing: Editing, operation: Operation) -> Named | None:
    """Return x, where the operation gives x tanh(softplus x)."""
    if operation.op != "Mul" or operation.activation is not Activation.NONE:
        return None
    for value, other in (operation.inputs, operation.inputs[::-1]):
        tangent = editing.producer_of(other, "Tanh")
        if tangent is not None and editing.is_inner(other):
            inner = editing.producer_of(tangent.input(0), "Softplus")
            if inner is not None and inner.input(0) == value:
                return "Mish", (value,)
    return None


def _prelu(editing: Editing, operation: Operation) -> Named | None:
    """Return x and the slope a, where the operation gives relu(x) - a relu(-x)."""
    if operation.op != "Add" or operation.activation is not Activation.NONE:
        return None
    for upper, lower in (operation.inputs, operation.inputs[::-1]):
        above, below = editing.producer_of(upper, "Relu"), editing.producer_of(lower, "Mul")
        if above is None or below is None or not editing.is_inner(lower):
            continue
        for factor, clipped in (below.inputs, below.inputs[::-1]):
            slope, mirrored = editing.constant(factor), editing.producer_of(clipped, "Relu")
            negative = editing.producer_of(mirrored.input(0), "Neg") if mirrored is not None else None
            if slope is not None and negative is not None and negative.input(0) == above.input(0):
                return "PRelu", (above.input(0), editing.put_constant(f"{operation.output}/slope", -slope))
    return None


def _sum_of_two(editing: Editing, operation: Operation) -> Named | None:
    """Return the two sides of a Sum: as Add it can have an activation fused."""
    if operation.op != "Sum" or len(operation.inputs) != 2:
        return None
    fact = editing.fact(operation.output)
    left, right = operation.inputs
    return "Add", (left, right) if editing.fact(left) == fact else (right, left)


_FORMULAS: Final[tuple[Callable[[Editing, Operation], Named | None], ...]] = (_hard_swish, _mish, _prelu, _sum_of_two)
