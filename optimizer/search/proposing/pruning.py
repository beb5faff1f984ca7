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

from optimizer.passes.prune_channels import FineTune, PruneChannels
from optimizer.passes.prune_channels.widths import format_widths
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure
from optimizer.search.making import Attempt

if TYPE_CHECKING:
    from optimizer.benchmark.timing import Effort
    from optimizer.pass_ import Pass
    from optimizer.passes.prune_channels.choices import Choice
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
        Attempt(label=f"{words}, pruned", pipeline=Pipeline(pruned, *tail)),
        Attempt(label=f"{words}, dense control", pipeline=Pipeline(training, *tail)),
    )


def at_bench(workbench: Workbench, effort: Effort) -> Taken:
    """Return what makes and times attempts at a workbench, all in turn."""

    def take(attempts: Sequence[Attempt]) -> list[float | Failure]:
        made = [workbench.make(one) for one in attempts]
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
