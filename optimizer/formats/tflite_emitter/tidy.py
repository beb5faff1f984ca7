"""What is left once the operators are written: nothing that is computed twice, taken back at once, or read by nobody.

It works on the writer's own list, of a draft as of the file, so that a draft's cost counts what stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.writer import TfliteWriter

_DRAWS: Final = frozenset({"RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "MULTINOMIAL"})


def tidy(writer: TfliteWriter, *, inputs: Iterable[int], outputs: Sequence[int]) -> tuple[int, ...]:
    """Shorten the writer's list of operators; return the tensors that now hold the outputs.

    A RESHAPE of a RESHAPE starts from the first one's input, a TRANSPOSE of a TRANSPOSE becomes one; what changes
    nothing, repeats an operator or is read by nobody goes.
    """
    work = _Tidying(writer, outputs=outputs)
    for operator in writer.written:
        work.add(operator)
    results = work.results(outputs, taken={*inputs, *writer.constants})
    writer.written = work.live(results)
    return results


class _Tidying:
    """The operators kept so far, who makes each tensor, and which tensor stands for another."""

    def __init__(self, writer: TfliteWriter, *, outputs: Sequence[int]) -> None:
        self._writer = writer
        self._outputs = frozenset(outputs)
        self._kept: list[Any] = []
        self._maker: dict[int, Any] = {}
        self._stands_for: dict[int, int] = {}
        self._same: dict[tuple[object, ...], Any] = {}
        self._is_fixed = all(batch is None for batch in writer.batches.values())

    def add(self, operator: Any) -> None:
        """Take the next operator, shortened, or know what stands for its results."""
        operator.inputs = [self._stands_for.get(tensor, tensor) for tensor in operator.inputs]
        code = self._writer.code(operator)
        if code == "RESHAPE":
            self._start_from_first(operator)
        elif code == "TRANSPOSE":
            self._join(operator)
        has_state = self._has_state(operator)
        if code in ("RESHAPE", "TRANSPOSE") and not has_state and self._changes_nothing(operator, code):
            self._stands_for[operator.outputs[0]] = operator.inputs[0]
            return
        key = self._key(operator, code)
        twin = self._same.get(key)
        if twin is not None and not has_state and not self._outputs.intersection(operator.outputs):
            self._stands_for.update(zip(operator.outputs, twin.outputs, strict=True))
            return
        if code not in _DRAWS and not has_state:
            self._same.setdefault(key, operator)
        self._kept.append(operator)
        self._maker.update(dict.fromkeys(operator.outputs, operator))

    def results(self, outputs: Sequence[int], *, taken: set[int]) -> tuple[int, ...]:
        """Return a tensor for each output, each one's own; where two would share one, a RESHAPE copies it."""
        found: list[int] = []
        for output in outputs:
            tensor = self._stands_for.get(output, output)
            if tensor != output and (tensor in taken or tensor in found or tensor in outputs):
                self._kept.append(self._copy(tensor, output))
                tensor = output
            found.append(tensor)
        return tuple(found)

    def live(self, results: Sequence[int]) -> list[Any]:
        """Return the operators that a result depends on, and those that work by keeping a state."""
        wanted = set(results)
        kept = []
        for operator in reversed(self._kept):
            if not operator.outputs or wanted.intersection(operator.outputs):
                kept.append(operator)
                wanted.update(operator.inputs)
        return kept[::-1]

    def _start_from_first(self, operator: Any) -> None:
        before = self._maker.get(operator.inputs[0])
        if before is not None and self._writer.code(before) == "RESHAPE":
            operator.inputs = [before.inputs[0], *operator.inputs[1:]]

    def _join(self, operator: Any) -> None:
        before = self._maker.get(operator.inputs[0])
        if before is None or self._writer.code(before) != "TRANSPOSE":
            return
        first, second = (self._writer.known(one.inputs[1]) for one in (before, operator))
        if first is not None and second is not None:
            operator.inputs = [before.inputs[0], self._writer.add_constant("permutation", first[second])]

    def _changes_nothing(self, operator: Any, code: str) -> bool:
        source, result = operator.inputs[0], operator.outputs[0]
        if code == "TRANSPOSE":
            permutation = self._writer.known(operator.inputs[1])
            return permutation is not None and bool((permutation == np.arange(permutation.size)).all())
        return self._writer.shape(source) == self._writer.shape(result) and self._has_same_batch(source, result)

    def _has_same_batch(self, one: int, other: int) -> bool:
        batches: Mapping[int, int | None] = self._writer.batches
        return self._is_fixed or (one in batches and other in batches and batches[one] == batches[other])

    def _has_state(self, operator: Any) -> bool:
        return any(map(self._writer.is_variable, (*operator.inputs, *operator.outputs)))

    def _key(self, operator: Any, code: str) -> tuple[object, ...]:
        options = operator.builtinOptions
        told = "" if options is None else repr(sorted(vars(options).items()))
        kinds = tuple(self._writer.kind(tensor) for tensor in operator.outputs)
        return (code, tuple(operator.inputs), told, kinds)

    def _copy(self, source: int, result: int) -> Any:
        """Return a RESHAPE of a tensor to the shape that it has."""
        shape = [-1 if axis == self._writer.batches.get(result) else size for axis, size in self._sizes(result)]
        options = self._writer.schema.ReshapeOptionsT()
        options.newShape = shape
        target = self._writer.add_constant("shape", np.asarray(shape, dtype=np.int32))
        return self._writer.make_operator("RESHAPE", (source, target), (result,), options=options)

    def _sizes(self, tensor: int) -> Iterable[tuple[int, int]]:
        return enumerate(self._writer.shape(tensor))
