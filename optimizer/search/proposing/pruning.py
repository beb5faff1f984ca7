"""Pruned candidates: cut to ``widths`` behind the best quantized recipes, each beside a dense control trained alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from optimizer.errors import MeasureFailed, PassFailed
from optimizer.model import Format
from optimizer.passes.prune_channels import FineTune, PruneChannels
from optimizer.passes.prune_channels.choices import Choices, possible_choices
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure
from optimizer.search.making import Attempt
from optimizer.search.proposing.widths import Guided, Taken, guided_widths, measured_savings

if TYPE_CHECKING:
    from optimizer.benchmark.timing import Effort
    from optimizer.pass_ import Pass
    from optimizer.search.known import Known, Tried
    from optimizer.search.workbench import Workbench

_WANTED: Final = (0.7, 0.85)
"""Shares of the dense and quantized latency that widths are chosen for: the first, else the gentler one."""
_WORTH_TRAINING: Final = 0.95
"""What is cut is trained where it takes at most this share of the best dense time."""
_WEIGHED_ROWS: Final = 128
_NAMES_LAYERS: Final = ("first", "last", "keep", "per_token", "per_block")
"""Fields of passes that name layers, which a cut program calls otherwise."""
_PRUNED: Final = ", pruned"
_GENTLY: Final = ", pruned gently"
_CONTROL: Final = ", dense control"
PRUNED: Final = "pruned"
"""Names in the account what became of pruning as such."""


def proposed(known: Known, training: FineTune) -> tuple[Attempt, ...]:
    """Return the pruned attempts that are fast enough to be trained, each with its dense control.

    Tried are the best quantized recipe of each runtime, as tails behind the cuts. What is cut, what is not and why is
    told in the account.
    """
    problem = _objection(known, training)
    if problem:
        known.add(Failure(label=PRUNED, step=PruneChannels.name, code="no_pruning", cause=problem))
        return ()
    tails = _tails(known)
    choices = known.choices() if tails else Choices(choices=(), refused={})
    known.findings += [_refused(choices)] if choices.refused else []
    if not tails or not choices.choices:
        why = "no layer can be cut" if tails else "no quantized recipe came out that could follow the cuts"
        known.add(Failure(label=PRUNED, step=PruneChannels.name, code="no_pruning", cause=why))
        return ()
    return tuple(attempt for tail in tails for attempt in _proposed(known, tail, training))


def retried(known: Known, training: FineTune) -> tuple[Attempt, ...]:
    """Return gentler cuts for what lost more by the first than may be lost; the dense controls are there already."""
    attempts = []
    for tail in _tails(known):
        label = tail.attempt.label
        first = known.done(label + _PRUNED)
        if first is None or known.is_accurate(first):
            continue
        gentler = known.guided(tail)[1:]
        if not gentler:
            continue
        told = _told(gentler[0], tail, _rival(known))
        known.findings.append(f"{label}, pruned, lost too much. Pruned gently: {_steps(gentler[0])}; {told}.")
        pruned, _ = pruned_attempts(gentler[0], tail.attempt.pipeline.steps, training, words=label)
        attempts.append(dataclasses.replace(pruned, label=label + _GENTLY))
    return tuple(attempts)


def comparisons(known: Known) -> Iterator[str]:
    """Yield for each pruned attempt how it stands against the original and against its dense control."""
    for one in known.all:
        label = one.attempt.label.removesuffix(_GENTLY).removesuffix(_PRUNED)
        control = known.done(label + _CONTROL)
        if label != one.attempt.label and control is not None:
            yield _compared(one, control)


def pruned_attempts(guided: Guided, tail: Sequence[Pass], training: FineTune, *, words: str) -> tuple[Attempt, ...]:
    """Return the pruned attempt and its dense control, which gets the same training; both end with the same tail.

    Args:
        guided: the widths.
        tail: the passes that follow.
        training: how both are trained.
        words: of the tail, for labels.
    """
    same = {item.name: getattr(training, item.name) for item in dataclasses.fields(training)}
    pruned = PruneChannels(widths=guided.widths, **same)
    return (
        Attempt(label=words + _PRUNED, pipeline=Pipeline(pruned, *tail)),
        Attempt(label=words + _CONTROL, pipeline=Pipeline(training, *tail), built_on=True),
    )


def weighed(workbench: Workbench) -> Choices:
    """Return what could be cut of the workbench's torch program; without a choice where nothing can be."""
    workbench.say("weighing what each cut does to the answers")
    try:
        return possible_choices(workbench.case.model, workbench.rows_to_weigh(_WEIGHED_ROWS))
    except PassFailed as error:
        return Choices(choices=(), refused={workbench.case.model.name: str(error)})


def measured_widths(choices: Choices, tail: Sequence[Pass], workbench: Workbench) -> Iterator[Guided]:
    """Yield the widths for the tail, measured at the workbench, then gentler ones; nothing where no cut saves."""
    take = at_bench(workbench, workbench.bench.effort)
    savings = measured_savings(choices.choices, tail, take)
    before = None
    for ratio in _WANTED:
        found = guided_widths(choices.choices, tail, take, ratio=ratio, savings=savings)
        if found is not None and (before is None or found.widths != before.widths):
            yield found
            before = found


def at_bench(workbench: Workbench, effort: Effort) -> Taken:
    """Return what makes and times attempts at a workbench, all in turn."""

    def take(attempts: Sequence[Attempt]) -> list[float | Failure]:
        count = len(attempts)
        made = [
            workbench.make(dataclasses.replace(one, label=f"weighing cuts, {place} of {count}: {one.label}"))
            for place, one in enumerate(attempts, start=1)
        ]
        workbench.say(f"weighing cuts: timing {count} in turn")
        products = [one for one in made if not isinstance(one, Failure)]
        if not products:
            return [one for one in made if isinstance(one, Failure)]
        timings = iter(workbench.time(products, effort=effort)[1:])
        return [one if isinstance(one, Failure) else next(timings).p50_ms for one in made]

    return take


def _compared(pruned: Tried, control: Tried) -> str:
    mine, dense = pruned.figures.fidelity, control.figures.fidelity
    sign = -100 if mine.higher_is_better else 100
    against, beside = sign * mine.drop.value, sign * (mine.drop.value - dense.drop.value)
    # of one original's rows: a difference spreads at most as far as both together
    spread = 50 * (mine.drop.high - mine.drop.low + dense.drop.high - dense.drop.low)
    return (
        f"{pruned.attempt.label}: {mine.title} {against:+.2f} {mine.unit} against the original, {beside:+.2f} "
        f"(± at most {spread:.2f}) against its dense control given the same fine-tuning ({mine.n:,} rows), at "
        f"{pruned.figures.ratio / control.figures.ratio:.2f} x the control's latency."
    )


def _objection(known: Known, training: FineTune) -> str:
    """Return why nothing can be pruned here; empty where it can."""
    model = known.case.model
    if model.format is not Format.TORCH:
        return (
            f"pruning trains the network, and {model.name} is no torch program but {model.format}: give the .pt2 file "
            "or the module:function that it was exported from"
        )
    missing = [f"needs {name}: pip install 'edgeship[optimizer]'" for name in training.missing_libraries()]
    return "; ".join((*missing, *training.objections(model.spec, known.case.target)))


def _tails(known: Known) -> tuple[Tried, ...]:
    """Return the best quantized attempt of each runtime, an accurate one if any, of those that can follow cuts."""
    found = []
    for format_ in (Format.ONNX, Format.TFLITE):
        usable = [one for one in known.all if one.product.model.format is format_ and _follows_cuts(one)]
        best = _fastest([one for one in usable if known.is_accurate(one)] or usable)
        found += [best] if best else []
    return tuple(found)


def _follows_cuts(one: Tried) -> bool:
    steps = one.attempt.pipeline.steps
    named = {name for step in steps for field in _NAMES_LAYERS for name in getattr(step, field, ())}
    return one.product.model.spec.quantized and not named - {"*"} and not _is_trained(one)


def _is_trained(one: Tried) -> bool:
    return any(isinstance(step, PruneChannels | FineTune) for step in one.attempt.pipeline.steps)


def _proposed(known: Known, tail: Tried, training: FineTune) -> tuple[Attempt, ...]:
    """Return the tail's pruned attempt and its control, where the cuts save enough; why or why not is told."""
    label = tail.attempt.label
    try:
        found = known.guided(tail)
    except MeasureFailed as error:
        known.findings.append(f"{label}, not pruned: {error}.")
        return ()
    if not found:
        known.findings.append(f"{label}, not pruned: no cut saves anything once quantized.")
        return ()
    guided, rival = found[0], _rival(known)
    share = guided.ratio * tail.figures.ratio / rival.figures.ratio
    told = _told(guided, tail, rival)
    if share > _WORTH_TRAINING:
        needed = f"at most {100 * _WORTH_TRAINING:.0f} % is worth training"
        known.findings.append(f"{label}, not pruned: the cuts come to {told}; {needed}.")
        return ()
    known.findings.append(f"{label}, pruned: {_steps(guided)}. Together, untrained: {told}.")
    return pruned_attempts(guided, tail.attempt.pipeline.steps, training, words=label)


def _steps(guided: Guided) -> str:
    return "; ".join(str(step) for step in guided.bought)


def _told(guided: Guided, tail: Tried, rival: Tried) -> str:
    """Return in words what the cuts come to, of the tail's own time and of the fastest dense one's."""
    share = guided.ratio * tail.figures.ratio / rival.figures.ratio
    return (
        f"{100 * guided.ratio:.0f} % of its own time, {100 * share:.0f} % of that of {rival.attempt.label}, the "
        "fastest dense one"
    )


def _rival(known: Known) -> Tried:
    """Return the dense attempt to be beaten: the fastest accurate one, float only where latency is wanted."""
    dense = [
        one for one in known.all if (known.wants_latency or one.product.model.spec.quantized) and not _is_trained(one)
    ]
    best = _fastest([one for one in dense if known.is_accurate(one)] or dense)
    if best is None:
        raise ValueError("a tail was tried, so something is quantized")
    return best


def _fastest(some: Sequence[Tried]) -> Tried | None:
    return min(some, key=lambda one: one.figures.ratio, default=None)


def _refused(choices: Choices) -> str:
    return "Pruning leaves alone: " + "; ".join(f"{layer} ({why})" for layer, why in choices.refused.items()) + "."
