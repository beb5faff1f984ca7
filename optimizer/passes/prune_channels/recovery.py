"""A course: cut, train, cut further, train, and last with rounding; told as it goes on, and gone on with after a kill.

What is kept while it runs says which cuts were made and how far training was, with all weights and the optimizer's
state. Order and changes of rows hang on seed and epoch alone, so a course that was stopped ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from contracts.ids import digest_of
from optimizer.errors import PassFailed
from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.distillation import (
    common_features,
    distillation_loss,
    lessons,
    with_features,
)
from optimizer.passes.prune_channels.fake_quant import fold_batch_norms, round_while_training, stop_rounding
from optimizer.passes.prune_channels.units import copied
from optimizer.user_function import call_user, user_function

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

    from optimizer.pass_ import Desk

Cuts: TypeAlias = list[tuple[str, list[int]]]
"""Which atoms of which layers were cut; a branch that was left out has none."""

_DIGEST_LENGTH: Final = 64
_GENTLE: Final = 0.1
"""Share of the rate with which rounding is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One part of a course: cuts, and the epochs that follow.

    ``cut`` gets the network and the cuts that were decided before (None: decide now); it makes them and returns them.
    """

    name: str
    cut: Callable[[GraphModule, Cuts | None], Cuts]
    epochs: int
    rounding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a network is trained to answer as the original does."""

    rows: tuple[torch.Tensor, ...]
    rate: float
    batch: int
    fixed_batch: bool
    seed: int
    train: str = ""
    phases: tuple[Phase, ...] = field(default=())


@dataclass(slots=True)
class _Place:
    """How far a course is: the phase, the epochs done in it, all cuts so far, the states to go on with."""

    phase: int = 0
    epoch: int = 0
    cuts: list[Cuts] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)


def run_course(net: GraphModule, course: Course, desk: Desk) -> GraphModule:
    """Return the network after all phases; the given one is the teacher, and stays as it is.

    Raises:
        PassFailed: the user's function fails, or the loss is no number any more.
    """
    student, begin = copied(net), _kept(desk)
    total = max(sum(phase.epochs for phase in course.phases), 1)
    cuts, done = list[Cuts](), 0
    for number, phase in enumerate(course.phases):
        if phase.rounding:
            fold_batch_norms(student)
        cuts.append(phase.cut(student, begin.cuts[number] if number < len(begin.cuts) else None))
        if phase.rounding:
            round_while_training(student)
        begun = begin if begin.phase == number else _Place(phase=number, cuts=list(cuts))
        if number >= begin.phase:
            if begun.weights:
                student.load_state_dict(begun.weights)

            def told(epoch: int, loss: float, *, phase: Phase = phase, before: int = done) -> None:
                desk.progress(
                    f"{phase.name}: epoch {epoch} of {phase.epochs}, loss {loss:.4f}", (before + epoch) / total
                )

            _train(net, student, dataclasses.replace(course, phases=(phase,)), place=begun, desk=desk, told=told)
        if phase.rounding:
            stop_rounding(student)
        done += phase.epochs
    return student.eval()


def _train(
    teacher: GraphModule,
    student: GraphModule,
    course: Course,
    *,
    place: _Place,
    desk: Desk,
    told: Callable[[int, float], None],
) -> None:
    torch, phase = torch_library(), course.phases[0]
    if course.train and not phase.rounding:
        _by_user(student, course, phase, place, desk)
        return
    student.eval()  # so that looking at its tensors leaves no trace
    names = common_features(teacher, student, tuple(one[: course.batch] for one in course.rows))
    taught, asked = with_features(student, names), with_features(teacher, names).eval()
    rate = course.rate * (_GENTLE if phase.rounding else 1.0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=1e-4)
    if place.optimizer:
        optimizer.load_state_dict(place.optimizer)
    each = -(-len(course.rows[0]) // course.batch)
    for epoch in range(place.epoch, phase.epochs):
        taught.train()
        seed = course.seed * 1_000_003 + place.phase * 10_007 + epoch
        loss = 0.0
        for step, rows in enumerate(_batches(course, seed)):
            _set_rate(optimizer, rate, (epoch * each + step) / (phase.epochs * each))
            loss = _learn(taught, asked, optimizer, rows, features=len(names))
        told(epoch + 1, loss)
        _keep(desk, _Place(place.phase, epoch + 1, place.cuts, student.state_dict(), optimizer.state_dict()))
    if phase.epochs and not phase.rounding:
        _settle_norms(student, course)
    student.eval()


def _batches(course: Course, seed: int) -> Iterator[tuple[torch.Tensor, ...]]:
    return lessons(course.rows, batch=course.batch, fixed=course.fixed_batch, seed=seed)


def _learn(taught: Any, asked: Any, optimizer: Any, rows: tuple[torch.Tensor, ...], *, features: int) -> float:
    torch = torch_library()
    with torch.no_grad():
        wanted = asked(*rows)
    optimizer.zero_grad(set_to_none=True)
    loss: Any = distillation_loss(taught(*rows), wanted, features=features)
    if not bool(torch.isfinite(loss)):
        raise PassFailed("training went astray (its loss is no number); give a smaller rate")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(taught.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())


def _set_rate(optimizer: Any, rate: float, share: float) -> None:
    """Let the rate fall along a cosine, after a short rise."""
    import math

    now = rate * min(1.0, share / 0.05 + 0.05) * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimizer.param_groups:
        group["lr"] = now


def _settle_norms(student: GraphModule, course: Course) -> None:
    """Take the statistics of batch norms anew, over the rows as they are."""
    torch = torch_library()
    norms = [one for one in student.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]  # noqa: SLF001 its only name
    if not norms:
        return
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.reset_running_stats()
        one.momentum = None
    student.train()
    with torch.no_grad():
        for places in torch.arange(len(course.rows[0])).split(course.batch):
            if not (course.fixed_batch and len(places) != course.batch) and len(places) > 1:
                student(*(one[places] for one in course.rows))
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum


def _by_user(student: GraphModule, course: Course, phase: Phase, place: _Place, desk: Desk) -> None:
    """Let the user's function train the network in place, with whatever data it has; kept whole after it."""
    if place.epoch >= phase.epochs:
        return
    desk.progress(f"{phase.name}: {course.train}", 0.0)
    student.train()
    call_user(user_function(course.train, error=PassFailed), student, phase.epochs, course.seed, error=PassFailed)
    student.eval()
    _keep(desk, _Place(place.phase, phase.epochs, place.cuts, student.state_dict(), {}))


def _keep(desk: Desk, place: _Place) -> None:
    file = io.BytesIO()
    torch_library().save(dataclasses.asdict(place), file)
    desk.keep(digest_of(file.getvalue()).encode() + file.getvalue())


def _kept(desk: Desk) -> _Place:
    """Return where the course was left; its beginning where nothing, or something damaged, was kept."""
    content = desk.kept()
    if content is None or content[:_DIGEST_LENGTH] != digest_of(content[_DIGEST_LENGTH:]).encode():
        return _Place()
    try:
        found = torch_library().load(io.BytesIO(content[_DIGEST_LENGTH:]), weights_only=True)
        return _Place(**found)
    except (RuntimeError, TypeError, pickle.UnpicklingError):
        return _Place()
