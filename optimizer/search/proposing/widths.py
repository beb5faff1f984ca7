"""Widths for a latency: what each cut saves once the result is quantized, measured, against what it harms.

Fewer multiplications save nothing where kernels work in blocks, so every cut is made, quantized and timed by itself
beside the dense model with the same quantization. Cuts are then taken greedily, the most microseconds for the least
harm first, and what they come to together is measured again before anything is trained.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from optimizer.passes.prune_channels import PruneChannels
from optimizer.passes.prune_channels.widths import format_widths
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure
from optimizer.search.making import Attempt

if TYPE_CHECKING:
    from optimizer.pass_ import Pass
    from optimizer.passes.prune_channels.choices import Choice

Taken: TypeAlias = Callable[[Sequence[Attempt]], Sequence[float | Failure]]
"""Makes attempts and times them all in turn; returns the milliseconds of each, or why it could not be made."""

_HARMLESS: Final = 1e-4
"""Error below which cuts differ in time alone."""
_CORRECTIONS: Final = 3
_LEAST_SHARE: Final = 0.25
"""Of what was expected: savings that come true less than this are no ground to cut ever more."""
_MORE: Final = 1.001
_LEAST_SAVED: Final = 0.01
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


def measured_savings(
    choices: Sequence[Choice], tail: Sequence[Pass], take: Taken
) -> tuple[dict[tuple[str, int], float], float]:
    """Return what each cut alone saves, and what the dense model takes, milliseconds; of cuts that save anything.

    Each cut is timed with the dense model alone beside it: among dozens in turn every model would find the caches cold,
    and what a kernel saves would vanish in that.
    """
    dense = Attempt(label="dense", pipeline=Pipeline(*tail))
    shares, taken = dict[tuple[str, int], float](), list[float]()
    for one in choices:
        dense_ms, cut_ms = take([dense, _bare({one.layer: one.width}, tail)])
        if isinstance(dense_ms, Failure):
            return {}, 0.0
        taken.append(dense_ms)
        if not isinstance(cut_ms, Failure) and cut_ms < (1 - _LEAST_SAVED) * dense_ms:
            shares[one.layer, one.width] = 1 - cut_ms / dense_ms
    middle = statistics.median(taken) if taken else 0.0
    return {cut: share * middle for cut, share in shares.items()}, middle


def guided_widths(
    choices: Sequence[Choice],
    tail: Sequence[Pass],
    take: Taken,
    *,
    ratio: float,
    savings: tuple[Mapping[tuple[str, int], float], float] | None = None,
) -> Guided | None:
    """Return the widths that bring the quantized latency to the ratio with the least harm; None where nothing saves.

    Args:
        choices: from ``possible_choices``.
        tail: the passes that follow: export and quantization.
        take: makes and times attempts.
        ratio: wanted latency, as a share of that of the dense model with the same tail; the nearest where it cannot
            be reached.
        savings: from ``measured_savings``, where they are known.
    """
    saved, dense_ms = savings or measured_savings(choices, tail, take)
    wanted_ms, found = dense_ms * (1 - ratio), None
    for _ in range(_CORRECTIONS):
        steps = tuple(bought_steps(choices, saved, wanted_ms=wanted_ms))
        again = _together(choices, steps, tail, take, dense_ms=dense_ms, saved=saved)
        if again is None:
            return found
        found = again
        if found.ratio <= ratio:
            return _given_back(
                found, lambda fewer: _together(choices, fewer, tail, take, dense_ms=dense_ms, saved=saved), ratio
            )
        # together they save another share than each alone: want more by that share, and more than before
        expected = dense_ms - found.expected_ms
        share = max((1 - found.ratio) * dense_ms / expected, _LEAST_SHARE)
        wanted_ms = max(dense_ms * (1 - ratio) / share, expected * _MORE)
    return found


def _together(
    choices: Sequence[Choice],
    steps: Sequence[Bought],
    tail: Sequence[Pass],
    take: Taken,
    *,
    dense_ms: float,
    saved: Mapping[tuple[str, int], float],
) -> Guided | None:
    """Return what the steps come to, measured; None where there are none, or the cut model can't be made."""
    widths = _widths(choices, steps)
    if not widths:
        return None
    again_ms, together_ms = take([Attempt(label="dense", pipeline=Pipeline(*tail)), _bare(widths, tail)])
    if isinstance(again_ms, Failure) or isinstance(together_ms, Failure):
        return None
    return Guided(
        widths=format_widths(widths),
        bought=tuple(steps),
        dense_ms=again_ms,
        expected_ms=dense_ms - sum(saved[item] for item in widths.items()),
        measured_ms=together_ms,
    )


def _given_back(found: Guided, measured: Callable[[Sequence[Bought]], Guided | None], ratio: float) -> Guided:
    """Return the widths without those steps, the most harmful first, that the ratio holds without."""
    for step in sorted(found.bought, key=lambda one: -one.error):
        fewer = measured([one for one in found.bought if one is not step])
        if fewer is not None and fewer.widths != found.widths and fewer.ratio <= ratio:
            found = fewer
    return found


def bought_steps(
    choices: Sequence[Choice], saved: Mapping[tuple[str, int], float], *, wanted_ms: float
) -> Iterator[Bought]:
    """Yield cuts until they are expected to save as much as wanted: at each step the most time for the least harm.

    A layer may come up again with a smaller width, which takes the place of the one before; so does a branch of the
    layers that lie on it. Cuts that save nothing never come up.
    """
    now: dict[str, Choice] = {}
    while sum(saved[one.layer, one.width] for one in now.values()) < wanted_ms:
        open_ = [
            (one, *_gained(one, _replaced(one, now), saved))
            for one in choices
            if (one.layer, one.width) in saved and not now.keys() & set(one.within)
        ]
        better = [(one, gain, max(harm, _HARMLESS)) for one, gain, harm in open_ if gain > 0]
        if not better:
            return
        one, gain, harm = max(better, key=lambda item: (item[1] / item[2], item[0].layer, item[0].width))
        for gone in _replaced(one, now):
            del now[gone.layer]
        now[one.layer] = one
        yield Bought(layer=one.layer, width=one.width, saved_ms=gain, error=harm)


def _replaced(one: Choice, now: Mapping[str, Choice]) -> list[Choice]:
    """Return the cuts that a further one takes the place of: of its layer, or of layers on the branch that goes."""
    return [
        other for other in now.values() if other.layer == one.layer or (not one.width and one.layer in other.within)
    ]


def _gained(one: Choice, replaced: Sequence[Choice], saved: Mapping[tuple[str, int], float]) -> tuple[float, float]:
    """Return what a cut saves and harms beyond those that it takes the place of."""
    gain = saved[one.layer, one.width] - sum(saved[other.layer, other.width] for other in replaced)
    return gain, one.error - sum(other.error for other in replaced)


def _widths(choices: Sequence[Choice], steps: Sequence[Bought]) -> dict[str, int]:
    """Return channels by layer after all steps; layers on a branch that went are not among them."""
    within = {one.layer: one.within for one in choices}
    widths: dict[str, int] = {}
    for step in steps:
        widths.pop(step.layer, None)
        widths[step.layer] = step.width
    return {layer: width for layer, width in widths.items() if not widths.keys() & set(within[layer])}


def _bare(widths: Mapping[str, int], tail: Sequence[Pass]) -> Attempt:
    """Return the attempt that is cut and not trained: as fast as the trained one."""
    words = format_widths(widths)
    cut = PruneChannels(widths=words, epochs=0, rounded_epochs=0, rows=2)
    return Attempt(label=", ".join(words), pipeline=Pipeline(cut, *tail))
