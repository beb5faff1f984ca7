"""Attention's heads however they were cut, moved and reshaped: one product, one Reshape, one Transpose, one Split.

The queries, keys and values of a softmax attention are followed back to the products that made them. Where each is
made of columns of such a product, head by head and token by token, products of one input become one, whose columns lie
as (queries of all heads, keys, values); scales go into its weights; what comes out goes straight to the next product.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation, Fact, OnnxGraph, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.linear import Linear, linear_of
from optimizer.formats.tflite_emitter.rewrites.products.movements import MOVES, RESHAPES, moved_elements, shape_of
from optimizer.formats.tflite_emitter.rewrites.products.replacing import Parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCORED: Final = {"Add": slice(0, 2), "Mul": slice(0, 2), "Div": slice(0, 1), "Where": slice(1, 3)}
"""Operations that scores may go through on their way to the softmax, and the inputs that may be the scores."""
_LONGEST: Final = 16
"""Movements between a product and the heads at most."""
_PER_AXIS_OPSET: Final = 13


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Head:
    """Queries, keys or values as columns of a product: (heads, width) numbers of columns, a scale, how tokens lie.

    ``tokens_first`` says that the product's rows are (tokens, batch) and not (batch, tokens).
    """

    linear: Linear
    columns: NDArray[np.int64]
    scale: float
    tokens: int
    tokens_first: bool
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attention:
    """The operations of one attention: two products and what lies between them; ``scale`` of the scores."""

    first: Operation
    between: tuple[Operation, ...]
    second: Operation
    scale: float


def merge_heads(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph with its attentions in that form, where they can be."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op == "Softmax" and editing.producer(operation.output) is operation:
            found = _attention(editing, operation)
            if found is not None:
                _merge(editing, found)
    return editing.finish()


def _attention(editing: Editing, softmax: Operation) -> _Attention | None:
    """Return the attention around a softmax over its last axis, or None."""
    *after, second = _mixing(editing, softmax) or (softmax,)
    if second is softmax:
        return None
    between, scale, current = list(reversed(after)), 1.0, softmax.input(0)
    while (made := editing.producer(current)) is not None and editing.is_inner(current):
        if made.op == "MatMul" and len(made.inputs) == 2:
            return _Attention(first=made, between=tuple(reversed(between)), second=second, scale=scale)
        inner, factor = _scores_of(editing, made), _factor(editing, made)
        if inner is None or (factor is None and scale != 1.0):
            break
        between += [made] if factor is None else []
        scale *= 1.0 if factor is None else factor
        current = inner
    return None


def _mixing(editing: Editing, softmax: Operation) -> tuple[Operation, ...]:
    """Return the product of the softmax's weights and computed values, after what clears weights; empty for others."""
    fact = editing.fact(softmax.output)
    if fact is None or len(fact.shape) not in (3, 4) or editing.opset < _PER_AXIS_OPSET:
        return ()
    found = [softmax, *_cleared(editing, softmax)]
    reader = editing.sole_reader(found[-1].output)
    if reader is not None and reader.op == "Mul" and editing.fact(reader.output) == fact:
        found.append(reader)
        reader = editing.sole_reader(reader.output)
    last = softmax.integer("axis", -1) % len(fact.shape) == len(fact.shape) - 1
    if reader is None or not last or reader.op != "MatMul" or len(reader.inputs) != 2:
        return ()
    return (*found, reader) if reader.input(0) == found[-1].output else ()


def _cleared(editing: Editing, softmax: Operation) -> tuple[Operation, ...]:
    """Return IsNaN and the Where that puts 0 where a query saw nothing at all, as torch writes it; else nothing."""
    readers = {reader.op: reader for reader in editing.readers(softmax.output)}
    if sorted(readers) != ["IsNaN", "Where"] or editing.is_shown(softmax.output):
        return ()
    test, choice = readers["IsNaN"], readers["Where"]
    own = choice.input(0) == test.output and choice.input(2) == softmax.output and editing.is_inner(test.output)
    return (test, choice) if own and editing.scalar(choice.input(1)) == 0.0 else ()


def _scores_of(editing: Editing, operation: Operation) -> str | None:
    """Return the scores that a scale or a mask was put on: the input that has the result's shape."""
    result = editing.fact(operation.output)
    if operation.op not in _SCORED or result is None:
        return None
    for name in operation.inputs[_SCORED[operation.op]]:
        fact, made = editing.fact(name), editing.producer(name)
        if made is not None and made.op in ("MatMul", *_SCORED) and fact is not None and fact.shape == result.shape:
            return name if editing.is_inner(name) else None
    return None


def _factor(editing: Editing, operation: Operation) -> float | None:
    """Return the number that a Mul or Div by a constant multiplies by; None for any other operation."""
    if operation.op == "Div":
        divisor = editing.scalar(operation.input(1))
        return None if not divisor else 1 / divisor
    if operation.op == "Mul":
        return next((value for name in operation.inputs if (value := editing.scalar(name)) is not None), None)
    return None


def _merge(editing: Editing, attention: _Attention) -> None:
    result = editing.fact(attention.second.output)
    keys_turned = editing.fact(attention.first.input(1))
    if result is None or keys_turned is None:
        return
    queries = _head(editing, attention.first.input(0), turned=False)
    keys = _head(editing, attention.first.input(1), turned=True)
    values = _head(editing, attention.second.input(1), turned=False)
    if queries is None or keys is None or values is None or len(queries.columns) != len(keys.columns):
        return
    if len(values.columns) != len(queries.columns) or not _masks_fit(editing, attention) or values.scale != 1.0:
        return
    queries = dataclasses.replace(queries, scale=queries.scale * keys.scale * attention.scale)
    keys = dataclasses.replace(keys, scale=1.0)
    _Merged(editing, attention, heads=(queries, keys, values)).write()


def _masks_fit(editing: Editing, attention: _Attention) -> bool:
    """Return whether what is put on scores of rank 3 is the same for batch and heads, which share an axis there."""
    for operation in attention.between:
        scores = editing.fact(operation.output)
        facts = [editing.fact(name) for name in operation.inputs if name != _scores_of(editing, operation)]
        if scores is None or any(fact is None for fact in facts):
            return False
        others = [fact for fact in facts if fact is not None and operation.op not in ("Softmax", "IsNaN")]
        if len(scores.shape) == 3 and any(len(fact.shape) == 3 and fact.shape[0] != 1 for fact in others):
            return False
    return True


def _head(editing: Editing, name: str, *, turned: bool) -> _Head | None:
    """Return what the value is made of; None where it is not made of a product's columns, head by head."""
    chain: list[Operation] = []
    scale, current = 1.0, name
    while (made := editing.producer(current)) is not None and len(chain) < _LONGEST:
        factor = _factor(editing, made)
        if factor is not None:
            scale *= factor
            inner = next(each for each in made.inputs if editing.scalar(each) is None)
            chain.append(dataclasses.replace(made, op="Squeeze", inputs=(inner,)))
        elif made.op in MOVES:
            chain.append(made)
        else:
            break
        current = chain[-1].input(0)
    linear, fact, end = linear_of(editing, made), editing.fact(current), editing.fact(name)
    if linear is None or fact is None or end is None or made is None or made.activation is not Activation.NONE:
        return None
    if fact.shape[-1] != linear.weights.shape[1] or fact.batch == len(fact.shape) - 1:
        return None
    elements = np.arange(int(np.prod(shape_of(fact))), dtype=np.int64).reshape(shape_of(fact))
    moved = moved_elements(editing, tuple(reversed(chain)), elements, name)
    if moved is None or moved.ndim not in (3, 4):
        return None
    moved = moved.swapaxes(-1, -2) if turned else moved
    return _decoded(moved, linear=linear, fact=fact, end=end, scale=scale)


def _decoded(moved: NDArray[np.int64], *, linear: Linear, fact: Fact, end: Fact, scale: float) -> _Head | None:
    """Return columns and the order of tokens, from numbered elements of shape (batch, heads, tokens, width)."""
    for batch in _batches(moved, fact):
        four = moved if moved.ndim == 4 else moved.reshape(batch, -1, *moved.shape[1:])
        columns, rows = four % fact.shape[-1], four // fact.shape[-1]
        tokens = rows[:, 0, :, 0]
        if not np.array_equal(columns, np.broadcast_to(columns[:1, :, :1], four.shape)):
            continue
        if not np.array_equal(rows, np.broadcast_to(tokens[:, None, :, None], four.shape)):
            continue
        for tokens_first in (False, True):
            flat = (tokens.T if tokens_first else tokens).reshape(-1)
            if np.array_equal(flat, np.arange(flat.size)) and flat.size == int(np.prod(shape_of(fact)[:-1])):
                return _Head(
                    linear=linear,
                    columns=columns[0, :, 0],
                    scale=scale,
                    tokens=four.shape[2],
                    tokens_first=tokens_first,
                    fact=Fact(shape=_single(four.shape, end), element=fact.element, batch=_free(end)),
                )
    return None


def _batches(moved: NDArray[np.int64], fact: Fact) -> tuple[int, ...]:
    """Return how many batch entries the first axis of a value of rank 3 may hold."""
    if moved.ndim == 4:
        return (moved.shape[0],)
    sizes = dict.fromkeys(shape_of(fact)[:-1])
    return tuple(size for size in (*sizes, 1) if size and moved.shape[0] % size == 0)


def _single(shape: tuple[int, ...], end: Fact) -> tuple[int, ...]:
    return (shape[0] // (1 if end.batch is None else 2), *shape[1:])


def _free(end: Fact) -> int | None:
    return None if end.batch is None else 0


class _Merged:
    """One attention being written in the new form."""

    def __init__(self, editing: Editing, attention: _Attention, *, heads: tuple[_Head, _Head, _Head]) -> None:
        self._editing, self._attention, self._heads = editing, attention, heads
        self._parts = Parts(editing, attention.second)

    def write(self) -> None:
        """Put the new operations in the place of the old ones."""
        queries, keys, values = self._projected()
        scores = self._between(self._parts.put("MatMul", queries, self._turned(keys), fact=self._scores_fact()))
        first = self._heads[0].fact
        width = self._heads[2].fact.shape[-1]
        shape = (*first.shape[:3], width)
        self._finish(self._parts.put("MatMul", scores, values, fact=dataclasses.replace(first, shape=shape)))

    def _projected(self) -> tuple[str, ...]:
        """Return the names of queries, keys and values as (batch, heads, tokens, width)."""
        names: dict[int, str] = {}
        for place, head in enumerate(self._heads):
            if place in names:
                continue
            group = [other for other in range(place, 3) if _go_together(head, self._heads[other])]
            names.update(zip(group, self._group([self._heads[other] for other in group]), strict=True))
        return tuple(names[place] for place in range(3))

    def _group(self, heads: list[_Head]) -> list[str]:
        first = heads[0]
        weights = np.concatenate([head.linear.weights[:, head.columns.reshape(-1)] * head.scale for head in heads], 1)
        row = np.concatenate([head.linear.row[head.columns.reshape(-1)] * head.scale for head in heads])
        batch, count, tokens, width = first.fact.shape
        rows = (tokens, batch) if first.tokens_first else (batch, tokens)
        free = None if first.fact.batch is None else int(first.tokens_first)
        product = self._product(Linear(value=first.linear.value, weights=weights, row=row), rows=rows, free=free)
        total = count * len(heads)
        cut = Fact(shape=(*rows, total, width), element=first.fact.element, batch=free)
        moved = self._parts.transpose(
            self._parts.reshape(product, cut), (1, 2, 0, 3) if first.tokens_first else (0, 2, 1, 3)
        )
        if len(heads) == 1:
            return [moved]
        return self._parts.split(moved, axis=1, fact=first.fact, count=len(heads))

    def _product(self, linear: Linear, *, rows: tuple[int, int], free: int | None) -> str:
        source = self._parts.fact(linear.value)
        fact = dataclasses.replace(source, shape=(*source.shape[:-1], linear.weights.shape[1]))
        product = self._parts.linear(linear, fact=fact)
        return self._parts.reshape(product, dataclasses.replace(fact, shape=(*rows, fact.shape[-1]), batch=free))

    def _turned(self, keys: str) -> str:
        return self._parts.transpose(keys, (0, 1, 3, 2))

    def _scores_fact(self) -> Fact:
        queries, keys = self._heads[0].fact, self._heads[1].fact
        return dataclasses.replace(queries, shape=(*queries.shape[:3], keys.shape[2]))

    def _between(self, scores: str) -> str:
        """Return the scores after masks and softmax."""
        names = {self._attention.first.output: scores}
        for operation in self._attention.between:
            old = self._parts.fact(operation.output)
            attributes = {**operation.attributes, "axis": -1} if operation.op == "Softmax" else operation.attributes
            inputs = [names.get(self._unscaled(name, names), name) for name in operation.inputs]
            fact = dataclasses.replace(self._scores_fact(), element=old.element)
            names[operation.output] = self._parts.put(operation.op, *inputs, fact=fact, **attributes)
        return names[self._attention.between[-1].output]

    def _unscaled(self, name: str, names: Mapping[str, str]) -> str:
        """Return the value before the scales that are folded into the queries."""
        while name not in names:
            made = self._editing.producer(name)
            if made is None or _factor(self._editing, made) is None:
                break
            name = next(each for each in made.inputs if self._editing.scalar(each) is None)
        return name

    def _finish(self, mixed: str) -> None:
        """Take what was mixed, (batch, heads, tokens, width), to where the old movements led: heads side by side."""
        ends = self._ends()
        for place in range(len(ends), 0, -1):
            end = ends[place - 1]
            rows_first = self._led_to(tuple(ends[:place]), end.output)
            if rows_first is not None:
                self._side_by_side(mixed, end, tokens_first=rows_first)
                return
        result = self._parts.fact(self._attention.second.output)
        self._parts.finish(self._parts.reshape(mixed, result), self._attention.second)

    def _ends(self) -> list[Operation]:
        """Return the movements that follow the old attention one by one."""
        found: list[Operation] = []
        reader = self._editing.sole_reader(self._attention.second.output)
        while reader is not None and reader.op in ("Transpose", *RESHAPES):
            found.append(reader)
            reader = self._editing.sole_reader(reader.output)
        return found

    def _led_to(self, movements: tuple[Operation, ...], end: str) -> bool | None:
        """Return whether tokens come before the batch in a value that has all heads in its last axis; None elsewise."""
        fact = self._parts.fact(self._attention.second.output)
        first, width = self._heads[0].fact, self._heads[2].fact.shape[-1]
        batch, heads, tokens, _ = shape_of(first)
        elements = np.arange(batch * heads * tokens * width)
        moved = moved_elements(self._editing, movements, elements.reshape(shape_of(fact)), end)
        if moved is None or moved.shape[-1:] != (heads * width,):
            return None
        four = elements.reshape(batch, heads, tokens, width)
        for tokens_first, order in ((False, (0, 2, 1, 3)), (True, (2, 0, 1, 3))):
            if np.array_equal(moved.reshape(-1), four.transpose(order).reshape(-1)):
                return tokens_first
        return None

    def _side_by_side(self, mixed: str, end: Operation, *, tokens_first: bool) -> None:
        first, width = self._heads[0].fact, self._heads[2].fact.shape[-1]
        batch, heads, tokens, _ = first.shape
        own = self._heads[0].tokens_first
        rows = (tokens, batch) if own else (batch, tokens)
        free = None if first.batch is None else int(own)
        turned = self._parts.transpose(mixed, (2, 0, 1, 3) if own else (0, 2, 1, 3))
        merged = Fact(shape=(*rows, heads * width), element=first.element, batch=free)
        done = self._parts.reshape(turned, merged)
        if own != tokens_first:
            done = self._parts.transpose(done, (1, 0, 2))
        self._parts.finish(self._parts.reshape(done, self._parts.fact(end.output)), end)


def _go_together(left: _Head, right: _Head) -> bool:
    same = left.linear.value == right.linear.value and left.tokens_first == right.tokens_first
    return same and left.fact.shape == right.fact.shape
