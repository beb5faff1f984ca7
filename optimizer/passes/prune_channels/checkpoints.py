"""How far a course of training is: kept after each epoch, and read again with suspicion."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from contracts.ids import digest_of
from optimizer.formats.torch_format import torch_library

if TYPE_CHECKING:
    from optimizer.pass_ import Desk

Cuts: TypeAlias = list[tuple[str, list[int]]]
"""Which atoms of which layers were cut; a branch that was left out has none."""

_DIGEST_LENGTH: Final = 64


@dataclass(slots=True)
class Place:
    """How far a course is.

    Attributes:
        phase: its number.
        epoch: how many epochs of it are done.
        cuts: those of the phases so far, the present one's included.
        weights: the network's, to go on with.
        optimizer: the optimizer's state.
        best: the best weights of the phase so far; empty before the first were judged.
        error: how far those are from the original on the rows held out.
    """

    phase: int = 0
    epoch: int = 0
    cuts: list[Cuts] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    error: float = float("inf")


def keep(desk: Desk, place: Place) -> None:
    """Put the place on the desk, for whoever goes on."""
    file = io.BytesIO()
    fields = {one.name: getattr(place, one.name) for one in dataclasses.fields(place)}
    torch_library().save(fields, file)
    desk.keep(digest_of(file.getvalue()).encode() + file.getvalue())


def kept(desk: Desk, *, epochs: Sequence[int]) -> Place:
    """Return where the course was left; its beginning where nothing was kept, or nothing that could be of this course.

    Args:
        desk: where ``keep`` put it.
        epochs: of each phase of the course.
    """
    content = desk.kept()
    if content is None or content[:_DIGEST_LENGTH] != digest_of(content[_DIGEST_LENGTH:]).encode():
        return Place()
    try:
        found = Place(**torch_library().load(io.BytesIO(content[_DIGEST_LENGTH:]), weights_only=True))
    except (RuntimeError, TypeError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
        return Place()
    return found if _can_be(found, epochs) else Place()


def _can_be(place: Place, epochs: Sequence[int]) -> bool:
    """Whether every field is what ``keep`` writes for such a course."""
    numbers = all(type(one) is int for one in (place.phase, place.epoch)) and type(place.error) is float
    states = all(isinstance(one, dict) for one in (place.weights, place.optimizer, place.best))
    return (
        numbers
        and states
        and 0 <= place.phase < len(epochs)
        and 0 < place.epoch <= epochs[place.phase]
        and bool(place.weights)
        and isinstance(place.cuts, list)
        and len(place.cuts) == place.phase + 1
        and all(_are_cuts(one) for one in place.cuts)
    )


def _are_cuts(cuts: object) -> bool:
    return isinstance(cuts, list) and all(
        isinstance(one, tuple)
        and len(one) == 2
        and isinstance(one[0], str)
        and isinstance(one[1], list)
        and all(type(atom) is int for atom in one[1])
        for one in cuts
    )
