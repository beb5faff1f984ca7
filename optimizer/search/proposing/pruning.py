"""Which channels to cut: what each cut saves once the result is quantized, measured, against how it moves the answers.

Fewer multiplications save nothing where kernels work in blocks, so every cut is made, quantized and timed by itself
beside the dense model with the same quantization. Cuts are then taken greedily, the most microseconds for the least
harm first, and what they come to together is measured again before anything is trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from optimizer.errors import MeasureFailed, PassFailed
from optimizer.model import Format
from optimizer.passes.prune_channels import FineTune, PruneChannels
from optimizer.passes.prune_channels.choices import Choices, possible_choices
from optimizer.passes.prune_channels.widths import format_widths
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure
from optimizer.search.making import Attempt

if TYPE_CHECKING:
    from optimizer.benchmark.timing import Effort
    from optimizer.pass_ import Pass
    from optimizer.passes.prune_channels.choices import Choice
    from optimizer.search.known import Known, Tried
    from optimizer.search.workbench import Workbench

Taken: TypeAlias = Callable[[Sequence[Attempt]], Sequence[float | Failure]]
"""Makes attempts and times them all in turn; returns the milliseconds of each, or why it could not be made."""

_HARMLESS: Final = 1e-4
"""Error below which cuts differ in time alone."""
_CORRECTIONS: Final = 3
_LEAST_SHARE: Final = 0.25
"""Of what was expected: savings that come true less than this are no ground to cut ever more."""
_MORE: Final = 1.001
_LEAST_SAVED: Final = 0.005
"""Share of the dense time below which a cut is noise."""
_WANTED: Final = 0.7
"""Share of the dense and quantized latency that widths are chosen for."""
_WORTH_TRAINING: Final = 0.95
"""What is cut is trained where it takes at most this share of the best dense time."""
_WEIGHED_ROWS: Final = 128
_NAMES_LAYERS: Final = ("first", "last", "keep", "per_token", "per_block")
"""Fields of passes that name layers, which a cut program calls otherwise."""
_PRUNED: Final = ", pruned"
_CONTROL: Final = ", dense control"
PRUNED: Final = "pruned"
"""Names in the account what became of pruning as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """One step of the choice: a layer brought to a width, what it is expected to save, and at what harm."""

    layer: str
    width: int
    saved_ms: float
    error: float

    def __str__(self) -> str:
        """Return the step in words."""
        what = f"{self.layer} to {self.width}" if self.width else f"branch of {self.layer} left out"
        return f"{what}: {1000 * self.saved_ms:.0f} us for an error of {self.error:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guided:
    """Widths for a latency: what each step was expected to buy, and what they came to together, untrained."""

    widths: tuple[str, ...]
    bought: tuple[Bought, ...]
    dense_ms: float
    expected_ms: float
    measured_ms: float

    @property
    def ratio(self) -> float:
        """The pruned and quantized latency as a share of the dense and quantized one."""
        return self.measured_ms / self.dense_ms


def guided_widths(choices: Sequence[Choice], tail: Sequence[Pass], take: Taken, *, ratio: float) -> Guided | None:
    """Return the widths that bring the quantized latency to the ratio with the least harm; None where nothing saves.

    Args:
        choices: from ``possible_choices``.
        tail: the passes that follow: export and quantization.
        take: makes and times attempts.
        ratio: wanted latency, as a share of that of the dense model with the same tail; the nearest where it cannot
            be reached.
    """
    dense = Attempt(label="dense", pipeline=Pipeline(*tail))
    alone = [_bare({one.layer: one.width}, tail) for one in choices]
    dense_ms, *times = take([dense, *alone])
    if isinstance(dense_ms, Failure):
        return None
    saved = {
        (one.layer, one.width): dense_ms - taken
        for one, taken in zip(choices, times, strict=True)
        if not isinstance(taken, Failure) and dense_ms - taken > _LEAST_SAVED * dense_ms
    }
    wanted_ms, found = dense_ms * (1 - ratio), None
    for _ in range(_CORRECTIONS):
        steps = tuple(bought_steps(choices, saved, wanted_ms=wanted_ms))
        widths = {step.layer: step.width for step in steps}
        again_ms, together_ms = take([dense, _bare(widths, tail)]) if widths else (dense_ms, dense_ms)
        if not widths or isinstance(again_ms, Failure) or isinstance(together_ms, Failure):
            return found
        expected = sum(saved[item] for item in widths.items())
        found = Guided(
            widths=format_widths(widths),
            bought=steps,
            dense_ms=again_ms,
            expected_ms=dense_ms - expected,
            measured_ms=together_ms,
        )
        if found.ratio <= ratio:
            break
        # together they save another share than each alone: want more by that share, and more than before
        share = max((again_ms - together_ms) / expected, _LEAST_SHARE)
        wanted_ms = max(again_ms * (1 - ratio) / share, expected * _MORE)
    return found


def bought_steps(
    choices: Sequence[Choice], saved: Mapping[tuple[str, int], float], *, wanted_ms: float
) -> Iterator[Bought]:
    """Yield cuts until they are expected to save as much as wanted: at each step the most time for the least harm.

    A layer may come up again with a smaller width, which takes the place of the one before. Cuts that save nothing
    never come up.
    """
    now: dict[str, tuple[float, float]] = {}
    while sum(gained for gained, _ in now.values()) < wanted_ms:
        open_ = [
            (
                one,
                saved[one.layer, one.width] - now.get(one.layer, (0.0, 0.0))[0],
                one.error - now.get(one.layer, (0.0, 0.0))[1],
            )
            for one in choices
            if (one.layer, one.width) in saved
        ]
        better = [(one, gain, max(harm, _HARMLESS)) for one, gain, harm in open_ if gain > 0]
        if not better:
            return
        one, gain, harm = max(better, key=lambda item: (item[1] / item[2], item[0].layer, item[0].width))
        now[one.layer] = (saved[one.layer, one.width], one.error)
        yield Bought(layer=one.layer, width=one.width, saved_ms=gain, error=max(harm, 0.0))


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


def comparisons(known: Known) -> Iterator[str]:
    """Yield for each pruned attempt how it stands against the original and against its dense control."""
    for one in known.all:
        control = known.done(one.attempt.label.removesuffix(_PRUNED) + _CONTROL)
        if one.attempt.label.endswith(_PRUNED) and control is not None:
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
    """Yield the widths for the tail, measured at the workbench; nothing where no cut saves anything."""
    found = guided_widths(choices.choices, tail, at_bench(workbench, workbench.bench.effort), ratio=_WANTED)
    if found is not None:
        yield found


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


def _bare(widths: Mapping[str, int], tail: Sequence[Pass]) -> Attempt:
    """Return the attempt that is cut and not trained: as fast as the trained one."""
    words = format_widths(widths)
    cut = PruneChannels(widths=words, epochs=0, rounded_epochs=0, rows=2)
    return Attempt(label=", ".join(words), pipeline=Pipeline(cut, *tail))


def _compared(pruned: Tried, control: Tried) -> str:
    mine, dense = pruned.figures.fidelity, control.figures.fidelity
    sign = -100 if mine.higher_is_better else 100
    against, beside = sign * mine.drop.value, sign * (mine.drop.value - dense.drop.value)
    return (
        f"{pruned.attempt.label}: {mine.title} {against:+.2f} {mine.unit} against the original, {beside:+.2f} against "
        f"its dense control given the same fine-tuning ({mine.n:,} rows), at "
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
        guided = known.guided(tail)
    except MeasureFailed as error:
        known.findings.append(f"{label}, not pruned: {error}.")
        return ()
    if guided is None:
        known.findings.append(f"{label}, not pruned: no cut saves anything once quantized.")
        return ()
    rival = _rival(known)
    share = guided.ratio * tail.figures.ratio / rival.figures.ratio
    told = (
        f"{100 * guided.ratio:.0f} % of its own time, {100 * share:.0f} % of that of {rival.attempt.label}, the "
        "fastest dense one"
    )
    if share > _WORTH_TRAINING:
        needed = f"at most {100 * _WORTH_TRAINING:.0f} % is worth training"
        known.findings.append(f"{label}, not pruned: the cuts come to {told}; {needed}.")
        return ()
    steps = "; ".join(str(step) for step in guided.bought)
    known.findings.append(f"{label}, pruned: {steps}. Together, untrained: {told}.")
    return pruned_attempts(guided, tail.attempt.pipeline.steps, training, words=label)


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
