"""Sums and products with constants, one after the other: together a factor and an offset, which layers take in."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.pointwise.layers import scaled_after, scaled_before

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import OnnxGraph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine:
    """``scale`` times a value plus ``shift``, in double precision; both broadcast to the value's own shape."""

    value: str
    scale: NDArray[Any]
    shift: NDArray[Any]

    def of(self, inner: Affine) -> Affine:
        """Return the whole, where this one's value is the inner one's result."""
        return Affine(value=inner.value, scale=self.scale * inner.scale, shift=self.scale * inner.shift + self.shift)

    @property
    def parts(self) -> tuple[tuple[str, NDArray[Any]], ...]:
        """The products and sums that it takes: Mul with the scale, Add of the shift, as far as they do something."""
        needed = (("Mul", self.scale, bool((self.scale != 1).any())), ("Add", self.shift, bool(self.shift.any())))
        return tuple((op, array) for op, array, is_needed in needed if is_needed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chain:
    """Operations one after the other, read by nobody else between, and what they are as a whole."""

    operations: tuple[Operation, ...]
    whole: Affine

    @property
    def output(self) -> str:
        """The value that they lead to."""
        return self.operations[-1].output


def fold_affine(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with such chains inside the layers beside them, or joined where that makes them shorter."""
    editing = Editing(graph)
    for operation in graph.operations:
        whole = affine_of(editing, operation) if editing.producer(operation.output) is operation else None
        reader = editing.sole_reader(operation.output)
        if whole is None or (reader is not None and affine_of(editing, reader) is not None):
            continue
        chain = _chain(editing, operation, whole)
        if not _into_layer_before(editing, chain) and not _into_layer_behind(editing, chain):
            _join(editing, chain)
    return editing.finish()


def affine_of(editing: Editing, operation: Operation) -> Affine | None:
    """Return the factor and the offset that the operation is; None where it is something else, or of integers."""
    fact, one, zero = editing.fact(operation.output), np.ones(()), np.zeros(())
    is_affine = operation.op in ("Add", "Sub", "Mul", "Div", "Neg") and operation.activation is Activation.NONE
    if not is_affine or fact is None or fact.element.kind != "f":
        return None
    if operation.op == "Neg":
        return Affine(value=operation.input(0), scale=-one, shift=zero)
    left, right = (editing.constant(name) for name in operation.inputs)
    value, number = (operation.input(0), right) if left is None else (operation.input(1), left)
    is_quotient = operation.op == "Div"
    if number is None or editing.fact(value) != fact or (is_quotient and (left is not None or not number.all())):
        return None
    exact, sign = number.astype(np.float64), one if left is None else -one
    if operation.op in ("Mul", "Div"):
        return Affine(value=value, scale=1 / exact if is_quotient else exact, shift=zero)
    if operation.op == "Sub":
        return Affine(value=value, scale=sign, shift=-sign * exact)
    return Affine(value=value, scale=one, shift=exact)


def _chain(editing: Editing, last: Operation, whole: Affine) -> _Chain:
    """Return the chain that ends with that operation."""
    operations: tuple[Operation, ...] = (last,)
    while editing.is_inner(whole.value):
        before = editing.producer(whole.value)
        inner = affine_of(editing, before) if before is not None else None
        if before is None or inner is None:
            break
        operations, whole = (before, *operations), whole.of(inner)
    return _Chain(operations=operations, whole=whole)


def _into_layer_before(editing: Editing, chain: _Chain) -> bool:
    """Put the chain into the convolution that computes its value, and say whether that could be."""
    layer = editing.producer(chain.whole.value)
    if layer is None or not editing.is_inner(chain.whole.value):
        return False
    done = scaled_after(editing, layer, chain.whole.scale, chain.whole.shift, output=chain.output)
    if done is not None:
        editing.replace([layer, *chain.operations], [done])
    return done is not None


def _into_layer_behind(editing: Editing, chain: _Chain) -> bool:
    """Put the chain into the layer that alone reads its result, and say whether that could be."""
    layer = editing.sole_reader(chain.output)
    if layer is None or layer.input(0) != chain.output:
        return False
    done = scaled_before(editing, layer, chain.whole.scale, chain.whole.shift)
    if done is not None:
        inputs = (chain.whole.value, *done.inputs[1:])
        editing.replace([*chain.operations, layer], [dataclasses.replace(done, inputs=inputs)])
    return done is not None


def _join(editing: Editing, chain: _Chain) -> None:
    """Write the chain as a product and a sum where it is longer than they are; a quotient as a product."""
    parts, last = chain.whole.parts, chain.operations[-1]
    fact = editing.fact(chain.output)
    if fact is None or not parts or (len(parts) >= len(chain.operations) and last.op != "Div"):
        return
    if len(parts) > len(chain.operations) or not all(np.isfinite(np.float32(array)).all() for _, array in parts):
        return
    written, value = [], chain.whole.value
    for place, (op, array) in enumerate(parts):
        output = chain.output if place == len(parts) - 1 else f"{chain.output}/scaled"
        constant = editing.put_constant(f"{chain.output}/{op.lower()}", np.asarray(array, dtype=np.float64))
        editing.put_fact(output, fact)
        written.append(Operation(op=op, name=last.name, inputs=(value, constant), outputs=(output,)))
        value = output
    editing.replace(chain.operations, written)
