"""Attention (opset 23) becomes products, a scale, a mask and a softmax: ``heads`` then finds the shortest form."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.products.replacing import Parts

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_NEVER: Final = float(np.finfo(np.float32).min) / 2
"""Added to a score that is not to count: finite, so that no kernel meets infinity minus infinity."""


def split_attentions(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph without the Attentions that these operators can say; the others are refused later."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op == "Attention" and not refused(operation) and _is_known(editing, operation):
            _split(editing, operation)
    return editing.finish()


def refused(operation: Operation) -> str:
    """Return why an Attention is not written; empty where it is."""
    if any(operation.inputs[4:]) or any(operation.outputs[1:]):
        return "it keeps keys and values between calls, or shows its scores; without those it is written"
    if operation.number("softcap", 0.0):
        return "it caps its scores; without softcap it is written"
    return ""


def _is_known(editing: Editing, operation: Operation) -> bool:
    """Return whether all shapes are known and there are as many heads of keys as of queries."""
    facts = [editing.fact(name) for name in (*operation.inputs[:3], operation.output)]
    if any(fact is None or len(fact.shape) not in (3, 4) for fact in facts):
        return False
    if operation.integer("q_num_heads", 0) != operation.integer("kv_num_heads", 0):
        return False
    heads = {fact.shape[1] for fact in facts[:3] if fact is not None and len(fact.shape) == 4}
    mask = editing.fact(operation.input(3)) if operation.input(3) else None
    return len(heads) < 2 and (mask is None or mask.element.kind in "fb")


def _split(editing: Editing, operation: Operation) -> None:
    parts = Parts(editing, operation)
    queries, keys, values = (_with_heads(parts, operation, place) for place in range(3))
    fact, other = parts.fact(queries), parts.fact(keys)
    width = fact.shape[-1]
    scores_fact = dataclasses.replace(fact, shape=(*fact.shape[:3], other.shape[2]))
    scores = parts.put("MatMul", queries, parts.transpose(keys, (0, 1, 3, 2)), fact=scores_fact)
    scale = operation.number("scale", 1 / math.sqrt(width))
    scores = parts.put("Mul", scores, parts.scalar(scale), fact=scores_fact)
    scores = _masked(parts, operation, scores, scores_fact)
    weights = _cleared(parts, operation, parts.put("Softmax", scores, fact=scores_fact, axis=-1), scores_fact)
    mixed = dataclasses.replace(fact, shape=(*fact.shape[:3], parts.fact(values).shape[-1]))
    done = parts.put("MatMul", weights, values, fact=mixed)
    result = parts.fact(operation.output)
    if len(result.shape) == 3:
        done = parts.reshape(parts.transpose(done, (0, 2, 1, 3)), result)
    parts.finish(done)


def _with_heads(parts: Parts, operation: Operation, place: int) -> str:
    """Return queries, keys or values as (batch, heads, tokens, width)."""
    name = operation.input(place)
    fact = parts.fact(name)
    if len(fact.shape) == 4:
        return name
    heads = operation.integer("kv_num_heads" if place else "q_num_heads", 1)
    shape = (*fact.shape[:2], heads, fact.shape[2] // heads)
    return parts.transpose(parts.reshape(name, dataclasses.replace(fact, shape=shape)), (0, 2, 1, 3))


def _cleared(parts: Parts, operation: Operation, weights: str, fact: Fact) -> str:
    """Return the weights, 0 where a mask lets a query see nothing at all: the softmax makes them equal there."""
    mask = operation.input(3)
    array = parts.editing.constant(mask) if mask else None
    if not mask or parts.fact(mask).element != np.bool_ or (array is not None and bool(array.any(axis=-1).all())):
        return weights
    if array is not None:
        seen = parts.editing.put_constant(f"{mask}/seen", array.astype(np.float32))
    else:
        seen = parts.put("Cast", mask, fact=dataclasses.replace(parts.fact(mask), element=np.dtype(np.float32)), to=1)
    return parts.put("Mul", weights, seen, fact=fact)


def _masked(parts: Parts, operation: Operation, scores: str, fact: Fact) -> str:
    """Return the scores with the given mask and the causal one."""
    editing, mask = parts.editing, operation.input(3)
    if mask:
        array = editing.constant(mask)
        if array is not None and array.dtype == np.bool_:
            mask = editing.put_constant(f"{mask}/added", np.where(array, np.float32(0), np.float32(_NEVER)))
        if parts.fact(mask).element == np.bool_:
            scores = parts.put("Where", mask, scores, parts.scalar(_NEVER), fact=fact)
        else:
            scores = parts.put("Add", scores, mask, fact=fact)
    if operation.integer("is_causal", 0):
        later = np.triu(np.full(fact.shape[-2:], _NEVER, dtype=np.float32), 1)
        scores = parts.put("Add", scores, editing.put_constant(f"{operation.output}/causal", later), fact=fact)
    return scores
