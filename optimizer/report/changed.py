"""The part of the report on what changed from the original to the winner, found by running both once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.metrics.changes import ChangedRow, Changes, class_changes, quantity_changes
from optimizer.report.examples import View, views
from optimizer.report.pairs import PairChart, class_chart, quantile_chart
from optimizer.served import serve

if TYPE_CHECKING:
    from contracts.preprocessing import Step
    from optimizer.data.dataset import Dataset
    from optimizer.search.candidate import Candidate, Search

_MOST_EXAMPLES = 12
_MOST_MOVES = 12
_MOST_INPUTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A holdout row, by its place, as it looked, with its answer before and after and its label, all in words."""

    place: int
    before: str
    after: str
    label: str
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What the page says: a sentence, a chart by class or by size of the target, moves between classes, examples."""

    summary: str
    labelled: bool
    classes: PairChart | None
    quantiles: PairChart | None
    moves: tuple[tuple[str, str, int], ...]
    moves_left_out: int
    examples: tuple[Example, ...]


def changed(search: Search, dataset: Dataset | None) -> Changed | None:
    """Return what changed on the holdout rows; None without a winner or without the data."""
    winner = search.winner
    if winner is None or dataset is None:
        return None
    first, steps = search.original.outputs[0].name, _users_steps(winner)
    reference, answers = (
        serve(model, search.original, steps).infer(dataset.holdout)[first] for model in (search.original, winner.model)
    )
    find = class_changes if search.original_fidelity.of_classes else quantity_changes
    found = find(answers, reference, dataset.label, most=_MOST_EXAMPLES)
    names = dataset.labels
    moved = [row for row in found.rows if found.count is not None or f"{row.before:.4g}" != f"{row.after:.4g}"]
    moves = [(_class_word(one.before, names), _class_word(one.after, names), one.count) for one in found.moves]
    return Changed(
        summary=_summary(found, moved),
        labelled=dataset.label is not None,
        classes=class_chart(found.classes, names) if found.classes else None,
        quantiles=quantile_chart(found.quantiles) if found.quantiles else None,
        moves=tuple(moves[:_MOST_MOVES]),
        moves_left_out=len(moves[_MOST_MOVES:]),
        examples=_examples(found, moved, dataset),
    )


def _summary(found: Changes, moved: Sequence[ChangedRow]) -> str:
    if found.count is None and not moved:
        return f"No answer of {found.n} holdout rows moved by more than the rounding of its digits."
    if found.count is None:
        return f"The answers are quantities; of {found.n} holdout rows these moved most."
    if not found.count:
        return f"No holdout row of {found.n} changed its class."
    right = sum(row.label == row.before for row in found.rows)
    first = " Those that were right come first." if right else ""
    return f"{found.count} of {found.n} holdout rows changed their class ({100 * found.count / found.n:.2f} %).{first}"


def _examples(found: Changes, moved: Sequence[ChangedRow], dataset: Dataset) -> tuple[Example, ...]:
    if not moved:
        return ()
    rows = dataset.holdout.take(np.array([row.place for row in moved], dtype=np.int64))
    columns = [views(name, values, dataset.columns) for name, values in list(rows.items())[:_MOST_INPUTS]]
    is_class = found.count is not None
    return tuple(
        _example(row, looks, dataset.labels if is_class else None)
        for row, looks in zip(moved, zip(*columns, strict=True), strict=True)
    )


def _example(row: ChangedRow, looks: tuple[View, ...], names: Sequence[str] | None) -> Example:
    def words(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" if names is None else _class_word(int(value), names)

    return Example(
        place=row.place, before=words(row.before), after=words(row.after), label=words(row.label), views=looks
    )


def _class_word(place: int, names: Sequence[str]) -> str:
    return names[place] if 0 <= place < len(names) else str(place)


def _users_steps(candidate: Candidate) -> tuple[Step, ...]:
    """Return the preprocessing without the steps that the candidate's own file added."""
    added = len(candidate.model.adapter)
    return candidate.preprocessing[: len(candidate.preprocessing) - added]
