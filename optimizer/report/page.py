"""The report of a search: one HTML file that asks for nothing else, drawn from the figures.

Charts are inline SVG with a table behind each; light or dark follows the reader's system. What the
figures can't decide (the target's latency) is said in words before anything is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optimizer.errors import LibraryMissing, OptimizerError
from optimizer.metrics.fidelity import Metric, top_class
from optimizer.report.charts import ClassChart, bars, class_chart, metric_in_words, scatter
from optimizer.search.candidate import Candidate, Search, Verdict
from optimizer.served import serve
from optimizer.whole_file import write_whole
from optimizer.words import VERDICT_WORDS, latency_in_words, points_in_words, size_in_words

if TYPE_CHECKING:
    from contracts.preprocessing import Step
    from optimizer.data.dataset import Dataset

_TEMPLATES = Path(__file__).parent / "templates"
_SIGNS = {
    Verdict.WINNER: "✓",
    Verdict.FRONT: "○",
    Verdict.DOMINATED: "○",
    Verdict.OVER_BUDGET: "✕",
    Verdict.UNFIT: "✕",
}


def write_report(search: Search, path: Path, *, dataset: Dataset | None = None) -> None:
    """Write the report of the search to the file.

    Args:
        search: what was tried, and the choice.
        path: the HTML file; its folder exists.
        dataset: the data that the search ran on; with class labels, accuracy by class is shown.

    Raises:
        OptimizerError: the file can't be written.
        LibraryMissing: jinja2 is not installed.
    """
    page = render_report(search, dataset=dataset)
    try:
        write_whole(Path(path), page.encode())
    except OSError as error:
        raise OptimizerError(f"cannot write report {path}: {error.strerror}; give a folder that has room") from error


def render_report(search: Search, *, dataset: Dataset | None = None) -> str:
    """Return the report as one page of HTML.

    Raises:
        LibraryMissing: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise LibraryMissing("jinja2", "the report") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_in_words, "latency": latency_in_words, "points": points_in_words}
    return environment.get_template("report.html.j2").render(
        search=search,
        winner=search.winner,
        signs=_SIGNS,
        words=VERDICT_WORDS,
        metric=search.original_fidelity.metric,
        shown=lambda value: metric_in_words(search.original_fidelity.metric, value),
        headline=headline(search),
        scatter=scatter(search) if search.candidates else None,
        bars=bars(search),
        classes=accuracy_by_class(search, dataset),
        steps_text=_steps_in_words(search.winner.preprocessing if search.winner else ()),
    )


def headline(search: Search) -> str:
    """Return the outcome in one sentence."""
    winner = search.winner
    if winner is None:
        return f"No candidate holds the budgets for {search.target.name}: each reason is below."
    smaller = search.original.size_bytes / winner.size_bytes
    size = f"{smaller:.1f} times smaller than the original" if smaller >= 1.05 else "no smaller than the original"
    return f"{winner.label} wins: {winner.reason}. It is {size}; {_change(winner)}."


def accuracy_by_class(search: Search, dataset: Dataset | None) -> ClassChart | None:
    """Return accuracy by class of original and winner; None without a winner or class labels."""
    winner = search.winner
    if winner is None or dataset is None or dataset.label is None or search.original_fidelity.metric is Metric.RMSE:
        return None
    first = search.original.outputs[0].name
    steps = _users_steps(winner)
    answers = [
        top_class(serve(model, search.original, steps).infer(dataset.holdout)[first])
        for model in (search.original, winner.model)
    ]
    truth = dataset.label.astype(np.int64).reshape(-1)
    return class_chart(dataset.labels, truth, original=answers[0], winner=answers[1])


def _users_steps(candidate: Candidate) -> tuple[Step, ...]:
    """Return the preprocessing without the steps that the candidate's own file added."""
    added = len(candidate.model.adapter)
    return candidate.preprocessing[: len(candidate.preprocessing) - added]


def _change(winner: Candidate) -> str:
    fidelity = winner.fidelity
    if fidelity.metric is Metric.RMSE:
        return f"RMSE goes from {fidelity.original:.4g} to {fidelity.value:.4g} on {fidelity.n} holdout rows"
    points = -100 * fidelity.drop.value
    moved = f"changes by {points:+.2f} points" if round(points, 2) else "is unchanged"
    return f"{fidelity.metric.value} {moved} on {fidelity.n} holdout rows"


def _steps_in_words(steps: tuple[Step, ...]) -> str:
    return ", then ".join(f"{step.kind.value.replace('_', ' ')} of {step.tensor}" for step in steps) or "none"
