"""What a quantizer left in float, and whose doing that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from optimizer.formats.tflite_emitter.file import element_names, operations, tensor_names

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.file import Operation

_FLOATS: Final = frozenset({"FLOAT16", "FLOAT32", "FLOAT64"})
_BORDERS: Final = frozenset({"QUANTIZE", "DEQUANTIZE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A float tensor of a quantized file; ``operator`` is what computes in float there, empty where nothing does."""

    tensor: str
    operator: str


def leftovers(file: Any, keep: Sequence[str]) -> tuple[Leftover, ...]:
    """Return the float tensors of the file that no kept operator reads or gives, by the place of their operators.

    Args:
        file: the quantized file, as the schema's objects.
        keep: names of tensors whose operators were to stay float.
    """
    names, elements = tensor_names(file), element_names()
    listed = [_Named(one, tuple(names[place] for place in one.outputs)) for one in operations(file)]
    kept = frozenset(keep)
    return tuple(
        Leftover(tensor=names[place], operator=_culprit(place, listed))
        for place, tensor in enumerate(file.subgraphs[0].tensors)
        if elements[tensor.type] in _FLOATS
        and names[place] not in kept
        and not any(kept & set(one.outputs) for one in _touching(place, listed))
    )


@dataclass(frozen=True, slots=True)
class _Named:
    """An operation with the names of what it gives."""

    operation: Operation
    outputs: tuple[str, ...]


def _touching(place: int, listed: Sequence[_Named]) -> Iterator[_Named]:
    for one in listed:
        if place in one.operation.outputs or place in one.operation.inputs:
            yield one


def _culprit(place: int, listed: Sequence[_Named]) -> str:
    """Return the operator that computes in float at the tensor, not one that only leads from or to integers."""
    touching = [one.operation.operator for one in _touching(place, listed)]
    return next((operator for operator in touching if operator not in _BORDERS), "")
