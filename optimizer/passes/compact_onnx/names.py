"""Names of tensors: unique over a graph and all graphs inside it, and as short as can be.

A graph inside an operation sees the tensors of the graph around it, and two branches may use the same names. After
``shorten`` no two tensors share one, so that whoever comes next need not think of it.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from optimizer.formats.onnx_graphs import nested

_FIRST: Final = string.ascii_letters + "_"
_LATER: Final = _FIRST + string.digits
"""What the format allows in a name."""

Tensor: TypeAlias = tuple[int, str]
"""A tensor: the number of the graph that it belongs to, and its name there; -1 for a name that must stay."""
_STAYS: Final = -1


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor's name stands: a field of the holder, or a place in the list that the holder is."""

    tensor: Tensor
    holder: Any
    at: str | int

    def put(self, name: str) -> None:
        """Write another name there."""
        if isinstance(self.at, int):
            self.holder[self.at] = name
        else:
            setattr(self.holder, self.at, name)


def shorten(graph: Any) -> None:
    """Give every tensor a name of its own, the shortest to those named most often; inputs and outputs keep theirs."""
    stay = {item.name for item in (*graph.input, *graph.output)}
    places = list(_places(graph, {name: (_STAYS, name) for name in stay}, itertools.count()))
    named: dict[Tensor, int] = {}
    for place in places:
        named[place.tensor] = named.get(place.tensor, 0) + 1
    taken = {name for number, name in named if number == _STAYS} | stay
    free = (name for name in _names() if name not in taken)
    often = sorted((tensor for tensor in named if tensor[0] != _STAYS), key=lambda tensor: -named[tensor])
    short = dict(zip(often, free, strict=False))
    for place in places:
        if place.tensor in short:
            place.put(short[place.tensor])


def _places(graph: Any, around: dict[str, Tensor], numbers: Iterator[int]) -> Iterator[_Place]:
    """Yield every place of a name in the graph and those inside it; what nobody defines must stay as it is."""
    number = next(numbers)
    constants = [*graph.initializer, *(item.values for item in graph.sparse_initializer)]
    listed = [*graph.input, *constants, *graph.output, *graph.value_info]
    made = [name for entry in graph.node for name in entry.output if name]
    own = {name: (number, name) for name in (*(item.name for item in (*graph.input, *constants)), *made)}
    # the names of the outermost graph's inputs and outputs are known there alone as those that stay
    known = own | around if number == 0 else around | own
    for item in listed:
        yield _Place(known.get(item.name, (_STAYS, item.name)), item, "name")
    for entry in graph.node:
        for names in (entry.input, entry.output):
            for at, name in enumerate(names):
                if name:
                    yield _Place(known.get(name, (_STAYS, name)), names, at)
        for inner in nested(entry):
            yield from _places(inner, known, numbers)


def _names() -> Iterator[str]:
    """Yield every name of one character, then of two, and so on."""
    for more in itertools.count():
        for characters in itertools.product(_FIRST, *[_LATER] * more):
            yield "".join(characters)
