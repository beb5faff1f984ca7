"""Judging: which candidates are on the front, which wins, and why each other lost.

Latency is compared as a share of the original's, taken in the same run. Where it was taken on the target itself it
decides: a latency budget, who is dominated, who is fastest. Taken elsewhere it ranks nobody out: a latency budget
is not decided, and a candidate that only the other machine ranks last stays on the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device_profiles.profile import DeviceClass, DeviceProfile
from optimizer.metrics.fidelity import resolution_note
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Candidate, Measured, Verdict
from optimizer.search.fitness import ruled_out
from optimizer.words import latency_in_words, size_in_words

_SIZE_TIE: Final = 1.02
"""Files that differ by less hold about the same weights; the words below say 2 %."""
_SIZE_TIE_WORDS: Final = "2 %"
_LATENCY_TIE: Final = 1.2
"""Ratios of two latencies on one machine moved by that much between runs of the same pair."""
_ONE_RUN_TIE: Final = 1.01
"""Of medians taken in turn in one run on the target."""
_OTHER_MACHINE_TIE: Final = 1.5
"""Between files of one size: a smaller advantage elsewhere says nothing of the target; the preference decides."""
_NEAR_BEST: Final = 1.15
"""Figures of two runs move by less than this; who lies further off the best is no finalist."""
_FINALISTS: Final = 6
_SAME_SPEED: Final = 1.005
"""Of the original's latency: up to here nobody is called slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Who holds the budgets, who wins and who is on the front, for one target.

    Attributes:
        target: the device that the candidates are for.
        budget: the limits.
        objective: what to prefer among those that hold them.
        on_target: whether latency was taken on the target itself.
    """

    target: DeviceProfile
    budget: OptimizeBudget
    objective: Objective
    on_target: bool = False

    def judge(self, measured: Sequence[Measured]) -> tuple[Candidate, ...]:
        """Return the candidates in their order (that of preference between equals), each with verdict and reason."""
        verdicts = [self._ruled_out(one) for one in measured]
        holding = [one for one, verdict in zip(measured, verdicts, strict=True) if verdict is None]
        winner = self._finalists(holding)[1][0] if holding else None
        return tuple(
            Candidate.of(one, *(verdict or self._rank(one, winner or one, holding)))
            for one, verdict in zip(measured, verdicts, strict=True)
        )

    def finalists(self, measured: Sequence[Measured]) -> tuple[Measured, ...]:
        """Return those that may turn out best once they are timed in one run, best first."""
        holding = [one for one in measured if self._ruled_out(one) is None]
        near = self._near_best(holding)
        return tuple(sorted(near, key=lambda one: one.ratio)[:_FINALISTS])

    def undecided(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return the sentences on what these figures cannot decide."""
        winner = next((one for one in candidates if one.verdict is Verdict.WINNER), None)
        notes = [] if self.on_target else [self._latency_note()]
        if self.target.device_class is DeviceClass.MICROCONTROLLER:
            notes.append(
                f"Memory of {self.target.name} is the arena that TensorFlow Lite Micro needs here; kernels made for "
                "the device may ask for scratch on top."
            )
        if winner is not None:
            unresolved = resolution_note(winner.fidelity, self.budget.max_drop)
            notes += [f"{winner.label}: {unresolved}."] if unresolved else []
            notes += [self._slower_note(winner)] if winner.ratio > _SAME_SPEED else []
        return tuple(notes)

    def _latency_note(self) -> str:
        limit = self.budget.max_latency_ms
        budget = f", so the budget of {latency_in_words(limit)} is not decided" if limit is not None else ""
        return (
            f"The latency of {self.target.name} is not known yet: every latency here was taken on this machine{budget}."
        )

    def _slower_note(self, winner: Candidate) -> str:
        why = "size decides" if self.objective is Objective.SIZE else "nothing that holds the budgets is faster"
        where = "" if self.on_target else " on this machine"
        return f"{winner.label} is slower than the original{where} ({winner.ratio:.2f}x): {why}."

    def _ruled_out(self, one: Measured) -> tuple[Verdict, str] | None:
        return ruled_out(one, self.target, self.budget, on_target=self.on_target)

    def _near_best(self, holding: Sequence[Measured]) -> Sequence[Measured]:
        if not holding or self.objective is Objective.SIZE:
            return _smallest(holding)
        least = min(one.ratio for one in holding)
        return [one for one in holding if one.ratio <= least * _NEAR_BEST]

    def _finalists(self, holding: Sequence[Measured]) -> tuple[list[Measured], list[Measured]]:
        """Return those that tie as best by the objective; and those of them that tie by the other, least drop first."""
        if self.objective is Objective.SIZE:
            tied = _smallest(holding)
            return tied, _least_drop(_fastest(tied, self._tie(_OTHER_MACHINE_TIE)))
        tied = _not_slower(_fastest(holding, self._tie(_LATENCY_TIE)))
        return tied, _least_drop(_smallest(tied))

    def _tie(self, elsewhere: float) -> float:
        return _ONE_RUN_TIE if self.on_target else elsewhere

    def _rank(self, one: Measured, winner: Measured, holding: Sequence[Measured]) -> tuple[Verdict, str]:
        if one is winner:
            return Verdict.WINNER, self._why_won(holding)
        for other in (winner, *(other for other in holding if not self._dominates(winner, other))):
            if other is not one and self._dominates(other, one):
                return Verdict.DOMINATED, self._why_dominated(one, other)
        return Verdict.FRONT, self._why_not(one, winner)

    def _dominates(self, better: Measured, worse: Measured) -> bool:
        """Whether one is as good in drop, size and latency, and better in one of them.

        Ties in size and latency are those of the choice, so that noise moves no candidate between verdicts.
        Latency taken elsewhere than on the target may keep a candidate on the front but never alone push it off.
        A smaller drop is better only where the rows resolve it.
        """
        drops = better.fidelity.drop, worse.fidelity.drop
        if drops[0].value > drops[1].value or better.size_bytes > worse.size_bytes * _SIZE_TIE:
            return False
        if better.ratio > worse.ratio * self._tie(_LATENCY_TIE):
            return False
        if better.size_bytes * _SIZE_TIE < worse.size_bytes or drops[0].value < drops[1].low:
            return True
        return self.on_target and better.ratio * _ONE_RUN_TIE < worse.ratio

    def _why_won(self, holding: Sequence[Measured]) -> str:
        tied, left = self._finalists(holding)
        by_latency = self.objective is Objective.LATENCY
        where = f"on {self.target.name}" if self.on_target else "on this machine"
        names = ("smallest", f"fastest {where}")
        tie = f"{100 * (_ONE_RUN_TIE - 1):.0f} %" if self.on_target else f"{_LATENCY_TIE:g}x"
        ties = (f"within {_SIZE_TIE_WORDS} of the smallest", f"within {tie} of the fastest {where}")
        first, then = names[::-1] if by_latency else names
        if len(holding) == 1:
            return "the only one that holds the budgets"
        if len(tied) == 1:
            return f"the {first} that holds the budgets"
        if len(left) == 1:
            return f"the {then} of the {len(tied)} {ties[by_latency]}"
        if left[0].fidelity.drop.value < left[1].fidelity.drop.value:
            return f"{ties[by_latency]}, and of the {len(left)} that tie in both it loses the least"
        order = " before ".join(measured.product.label for measured in left[:2])
        more = f", and {len(left) - 2} more" if len(left) > 2 else ""
        return f"{ties[by_latency]}, and first in the order of preference ({order}{more})"

    def _why_not(self, one: Measured, winner: Measured) -> str:
        where = f"on {self.target.name}" if self.on_target else "on this machine"
        larger = one.size_bytes > winner.size_bytes * _SIZE_TIE
        slower = one.ratio > winner.ratio * self._tie(_LATENCY_TIE)
        name = winner.product.label
        sizes = f"larger than {name} ({size_in_words(one.size_bytes)} to {size_in_words(winner.size_bytes)})"
        times = f"slower {where} than {name} ({one.ratio:.2f}x to {winner.ratio:.2f}x the original's latency)"
        if larger and (self.objective is Objective.SIZE or not slower):
            return f"holds the budgets, but is {sizes}"
        if slower:
            elsewhere = "" if self.on_target else f"; {self.target.name} may rank them otherwise"
            return f"holds the budgets, but is {times}{elsewhere}"
        return f"within {_SIZE_TIE_WORDS} of {name} in size, and {name} comes first in the order of preference"

    def _why_dominated(self, one: Measured, other: Measured) -> str:
        name = other.product.label
        compared = f"no better in {one.fidelity.title}, size or latency than {name}"
        return f"{compared}: {self._difference(one, other)}; memory is not compared"

    def _difference(self, one: Measured, other: Measured) -> str:
        drop = 100 * (one.fidelity.drop.value - other.fidelity.drop.value)
        size, latency = one.size_bytes / other.size_bytes, one.ratio / other.ratio
        tie = self._tie(_LATENCY_TIE)
        where = "" if self.on_target else " on this machine"
        return ", ".join(
            (
                f"{drop:+.2f} {one.fidelity.unit} of drop" if round(drop, 2) else "equal drop",
                f"size within {_SIZE_TIE_WORDS}" if 1 / _SIZE_TIE <= size <= _SIZE_TIE else f"{size:.2f}x the size",
                f"latency{where} within {tie:g}x"
                if 1 / tie <= latency <= tie
                else f"{latency:.2f}x the latency{where}",
            )
        )


def _smallest(some: Sequence[Measured]) -> list[Measured]:
    least = min((one.size_bytes for one in some), default=0)
    return [one for one in some if one.size_bytes <= least * _SIZE_TIE]


def _fastest(some: Sequence[Measured], tie: float) -> list[Measured]:
    least = min(one.ratio for one in some)
    return [one for one in some if one.ratio <= least * tie]


def _least_drop(tied: list[Measured]) -> list[Measured]:
    """Return them by what they lose, between equals in the order of preference."""
    return sorted(tied, key=lambda one: one.fidelity.drop.value)


def _not_slower(tied: list[Measured]) -> list[Measured]:
    """Return those that are not slower than the original, if any is: a tie must not lose what the original has."""
    return [one for one in tied if one.ratio <= 1.0] or tied
