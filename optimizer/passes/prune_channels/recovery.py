"""A course: cut, train, cut further, train, and last with rounding; told as it goes on, and gone on with after a kill.

What is kept while it runs says which cuts were made and how far training was, with all weights and the optimizer's
state. Order and changes of rows hang on seed and epoch alone, so a course that was stopped ends with the same bytes.
A phase ends with the weights that were nearest to the original on rows held out from training; those that it began
with are among them, so training never leaves a network worse than it found it.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from optimizer.errors import PassFailed
from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.checkpoints import Cuts, Place, keep, kept
from optimizer.passes.prune_channels.distillation import School, school_of
from optimizer.passes.prune_channels.fake_quant import fold_batch_norms, round_while_training, stop_rounding
from optimizer.passes.prune_channels.lessons import batches, lessons
from optimizer.passes.prune_channels.units import copied
from optimizer.user_function import call_user, user_function

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

    from optimizer.pass_ import Desk

_GENTLE: Final = 0.1
"""Share of the rate with which rounding is trained."""
_RANGED: Final = 256
"""Rows from which the grids of activations take their ranges before the first step."""


class _Unfit(Exception):
    """What was kept is of another network."""


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


def run_course(net: GraphModule, course: Course, desk: Desk) -> GraphModule:
    """Return the network after all phases; the given one is the teacher, and stays as it is.

    Raises:
        PassFailed: the user's function fails, or leaves something that is no trained network, or the loss is no
            number any more.
    """
    begin = kept(desk, epochs=[phase.epochs for phase in course.phases])
    try:
        return _run(net, course, desk, begin)
    except _Unfit:
        return _run(net, course, desk, Place())


def _run(net: GraphModule, course: Course, desk: Desk, begin: Place) -> GraphModule:
    student = copied(net)
    total = max(sum(phase.epochs for phase in course.phases), 1)
    cuts, done = list[Cuts](), 0
    for number, phase in enumerate(course.phases):
        cuts.append(_cut(student, phase, begin.cuts[number] if number < len(begin.cuts) else None))
        begun = begin if begin.phase == number else Place(phase=number)
        if number >= begin.phase:
            begun.cuts = list(cuts)
            _load(student, begun.best, begun.weights)

            def told(epoch: int, loss: float, *, phase: Phase = phase, before: int = done) -> None:
                desk.progress(
                    f"{phase.name}: epoch {epoch} of {phase.epochs}, loss {loss:.4f}", (before + epoch) / total
                )

            _train(net, student, dataclasses.replace(course, phases=(phase,)), place=begun, desk=desk, told=told)
        if phase.rounding:
            stop_rounding(student)
        done += phase.epochs
    return _laid_out(student, torch_library().contiguous_format).eval()


def _cut(student: GraphModule, phase: Phase, known: Cuts | None) -> Cuts:
    """Make the phase's cuts; those that are known are the ones that were kept.

    Raises:
        _Unfit: the network has no such layers or channels.
    """
    if phase.rounding:
        fold_batch_norms(student)
    try:
        cuts = phase.cut(student, known)
    except (KeyError, IndexError, RuntimeError, ValueError, PassFailed) as error:
        if known is None:
            raise
        raise _Unfit from error
    if phase.rounding:
        round_while_training(student)
    return cuts


def _load(student: GraphModule, *states: dict[str, Any]) -> None:
    """Let the network have the weights of each state that holds any, one after the other.

    Raises:
        _Unfit: they are of another network.
    """
    try:
        for weights in filter(None, states):
            student.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise _Unfit from error


def _laid_out(net: GraphModule, layout: torch.memory_format) -> GraphModule:
    """Return the network with the weights of convolutions over images laid out so: channels last is a third faster."""
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return net


def _train(
    teacher: GraphModule,
    student: GraphModule,
    course: Course,
    *,
    place: Place,
    desk: Desk,
    told: Callable[[int, float], None],
) -> None:
    torch, phase = torch_library(), course.phases[0]
    if course.train and not phase.rounding:
        _by_user(student, course, phase, place, desk)
        return
    if not phase.epochs:
        student.eval()
        return
    layout = torch.channels_last
    teacher, student = _laid_out(teacher, layout), _laid_out(student, layout)
    school = school_of(teacher, student, course.rows, batch=course.batch, fixed=course.fixed_batch)
    rate = course.rate * (_GENTLE if phase.rounding else 1.0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=1e-4)
    _resume(optimizer, place.optimizer)
    if not place.epoch:
        _take_ranges(school, course, phase)
        _judge(school, place)
    each = -(-len(school.rows[0]) // course.batch)
    for epoch in range(place.epoch, phase.epochs):
        student.train()
        seed = course.seed * 1_000_003 + place.phase * 10_007 + epoch
        loss = 0.0
        for step, rows in enumerate(_lessons(school, course, seed)):
            _set_rate(optimizer, rate, (epoch * each + step) / (phase.epochs * each))
            loss = school.learn(optimizer, rows)
        _judge(school, place)
        told(epoch + 1, loss)
        place.epoch, place.weights, place.optimizer = epoch + 1, student.state_dict(), optimizer.state_dict()
        keep(desk, place)
    _load(student, place.best)
    student.eval()


def _lessons(school: School, course: Course, seed: int) -> Iterator[tuple[torch.Tensor, ...]]:
    return lessons(school.rows, batch=course.batch, fixed=course.fixed_batch, seed=seed, mirrored=school.mirrored)


def _judge(school: School, place: Place) -> None:
    """Note the student's weights as the best of the phase, where no others were nearer to the teacher."""
    error = school.error()
    if error <= place.error:
        place.best, place.error = copy.deepcopy(school.student.state_dict()), error


def _resume(optimizer: Any, state: dict[str, Any]) -> None:
    if not state:
        return
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Unfit from error


def _take_ranges(school: School, course: Course, phase: Phase) -> None:
    """Let the grids of activations see rows before any step is made."""
    if not phase.rounding:
        return
    school.student.train()
    with torch_library().no_grad():
        some = tuple(one[: max(_RANGED, course.batch)] for one in school.rows)
        for rows in batches(some, batch=course.batch, fixed=course.fixed_batch):
            school.student(*rows)


def _set_rate(optimizer: Any, rate: float, share: float) -> None:
    """Let the rate fall along a cosine, after a short rise."""
    now = rate * min(1.0, share / 0.05 + 0.05) * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimizer.param_groups:
        group["lr"] = now


def _by_user(student: GraphModule, course: Course, phase: Phase, place: Place, desk: Desk) -> None:
    """Let the user's function train the network in place, with whatever data it has; kept whole after it."""
    if place.epoch >= phase.epochs:
        return
    torch = torch_library()
    desk.progress(f"{phase.name}: {course.train}", 0.0)
    student.train()
    shapes = _shapes(student)
    with torch.enable_grad():  # and as it was afterwards, whatever the function switches
        told = call_user(
            user_function(course.train, error=PassFailed), student, phase.epochs, course.seed, error=PassFailed
        )
    if told is not None and told is not student:
        raise PassFailed(
            f"{course.train} returned a {type(told).__name__}, which nobody reads; change the network that it is "
            "given in place, and return nothing"
        )
    _check_trained(student, shapes, course.train)
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    student.eval()
    place.epoch, place.weights = phase.epochs, student.state_dict()
    keep(desk, place)


def _shapes(net: GraphModule) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in net.state_dict().items()}


def _check_trained(net: GraphModule, shapes: dict[str, tuple[int, ...]], train: str) -> None:
    """Return where the network has the tensors that it had, and all are numbers.

    Raises:
        PassFailed: names the first that is not.
    """
    after = _shapes(net)
    other = sorted(name for name in shapes.keys() | after.keys() if shapes.get(name) != after.get(name))
    if other:
        raise PassFailed(
            f"{train} changed the network's form: {other[0]} was {shapes.get(other[0], 'not there')} and is "
            f"{after.get(other[0], 'gone')}; change values alone"
        )
    for name, one in net.state_dict().items():
        if not bool(torch_library().isfinite(one).all()):
            raise PassFailed(f"{train} left {name} with values that are no numbers; give a smaller rate there")
