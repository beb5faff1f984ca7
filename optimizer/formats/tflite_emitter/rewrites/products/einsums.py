"""Einsum of one or two values becomes moved axes, a sum, a product: what the letters say and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.graph import Fact, Operation
from optimizer.formats.tflite_emitter.rewrites.editing import Editing
from optimizer.formats.tflite_emitter.rewrites.products.replacing import Parts

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import OnnxGraph

_SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """One value and the letter of each of its axes."""

    name: str
    letters: str


def split_einsums(graph: OnnxGraph) -> OnnxGraph:
    """Return the graph without the Einsums that products and moved axes can say; the others are refused later."""
    editing = Editing(graph)
    for operation in graph.operations:
        if operation.op == "Einsum" and len(operation.inputs) <= 2:
            equation = _equation(editing, operation)
            if equation is not None:
                _Split(editing, operation, *equation).write()
    return editing.finish()


def _equation(editing: Editing, operation: Operation) -> tuple[list[_Term], str] | None:
    """Return terms and letters of the result, dots written out; None where a letter repeats or a shape is unknown."""
    text = operation.text("equation", "").replace(" ", "")
    left, arrow, right = text.partition("->")
    facts = [editing.fact(name) for name in operation.inputs]
    parts = left.split(",")
    if any(fact is None for fact in facts) or len(parts) != len(facts) or editing.fact(operation.output) is None:
        return None
    ranks = [len(fact.shape) for fact in facts if fact is not None]
    dots = [
        rank - len(part.replace("...", "")) if "..." in part else 0 for part, rank in zip(parts, ranks, strict=True)
    ]
    spare = [letter for letter in _SPARE if letter not in text]
    names = "".join(spare[: max(dots)])
    spelt = [part.replace("...", names[len(names) - dot :]) for part, dot in zip(parts, dots, strict=True)]
    if not arrow:
        counted = "".join(spelt)
        right = names + "".join(sorted(letter for letter in set(counted) - set(names) if counted.count(letter) == 1))
    right = right.replace("...", names)
    good = all(len(set(each)) == len(each) == rank for each, rank in zip(spelt, ranks, strict=True))
    if not good or len(set(right)) != len(right) or _broadcasts(spelt, [fact for fact in facts if fact is not None]):
        return None
    return [_Term(name=name, letters=each) for name, each in zip(operation.inputs, spelt, strict=True)], right


def _broadcasts(spelt: list[str], facts: list[Fact]) -> bool:
    """Return whether one letter has two sizes."""
    sizes: dict[str, int] = {}
    return any(
        sizes.setdefault(letter, size) != size
        for letters, fact in zip(spelt, facts, strict=True)
        for letter, size in zip(letters, fact.shape, strict=True)
    )


class _Split:
    """One Einsum being written by parts."""

    def __init__(self, editing: Editing, operation: Operation, terms: list[_Term], result: str) -> None:
        self._operation, self._terms, self._result = operation, terms, result
        self._parts = Parts(editing, operation)
        facts = [self._parts.fact(term.name) for term in terms]
        self._sizes = {
            letter: size
            for term, fact in zip(terms, facts, strict=True)
            for letter, size in zip(term.letters, fact.shape, strict=True)
        }
        self._free = next(
            (term.letters[fact.batch] for term, fact in zip(terms, facts, strict=True) if fact.batch is not None), ""
        )
        self._element = facts[0].element

    def write(self) -> None:
        """Put the parts in the Einsum's place."""
        terms = [self._summed(term) for term in self._terms]
        done = terms[0] if len(terms) == 1 else self._product(*terms)
        self._parts.finish(self._ordered(done, self._result).name)

    def _fact(self, *groups: str) -> Fact:
        """Return the fact of a value that has one axis for each group of letters."""
        shape = tuple(int(np.prod([self._sizes[letter] for letter in group], dtype=np.int64)) for group in groups)
        batch = next((place for place, group in enumerate(groups) if self._free and self._free in group), None)
        return Fact(shape=shape, element=self._element, batch=batch)

    def _summed(self, term: _Term) -> _Term:
        """Return the term without the letters that nobody else has."""
        wanted = self._result + "".join(other.letters for other in self._terms if other is not term)
        gone = [place for place, letter in enumerate(term.letters) if letter not in wanted]
        if not gone:
            return term
        left = "".join(letter for letter in term.letters if letter in wanted)
        axes = self._parts.editing.put_constant(f"{self._operation.output}/axes", np.asarray(gone, dtype=np.int64))
        return _Term(
            name=self._parts.put("ReduceSum", term.name, axes, fact=self._fact(*left), keepdims=0), letters=left
        )

    def _ordered(self, term: _Term, letters: str) -> _Term:
        order = tuple(term.letters.index(letter) for letter in letters)
        return _Term(name=self._parts.transpose(term.name, order), letters=letters)

    def _product(self, left: _Term, right: _Term) -> _Term:
        """Return the product over the letters that both have and the result has not."""
        both = [letter for letter in left.letters if letter in right.letters]
        batch = "".join(letter for letter in self._result if letter in both)
        inner = "".join(letter for letter in both if letter not in self._result)
        rows = "".join(letter for letter in left.letters if letter not in both)
        columns = "".join(letter for letter in right.letters if letter not in both)
        leading = list(rows) if not batch and rows else [*batch, rows]
        first = self._grouped(self._ordered(left, batch + rows + inner), [*leading, inner])
        second = self._grouped(self._ordered(right, batch + inner + columns), [*batch, inner, columns])
        name = self._parts.put("MatMul", first, second, fact=self._fact(*leading, columns))
        letters = batch + rows + columns
        return _Term(name=self._parts.reshape(name, self._fact(*letters)), letters=letters)

    def _grouped(self, term: _Term, groups: list[str]) -> str:
        return self._parts.reshape(term.name, self._fact(*groups))
