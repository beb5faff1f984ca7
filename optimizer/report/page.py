"""The report of a search: one HTML file that asks for nothing else, drawn from the figures.

Charts are inline SVG with a table behind each; light or dark follows the reader's system. What the
figures can't decide (the target's latency) is said in words before anything is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contracts.manifest import TakenOn
from optimizer.errors import LibraryMissing, OptimizerError
from optimizer.report.changed import changed
from optimizer.report.charts import bars, scatter
from optimizer.report.layers import operator_bars, sensitivity_bars, slowest
from optimizer.report.traps import traps
from optimizer.search.candidate import Candidate, Search, Verdict
from optimizer.whole_file import write_whole
from optimizer.words import VERDICT_WORDS, latency_in_words, points_in_words, size_in_words

if TYPE_CHECKING:
    from contracts.preprocessing import Step
    from optimizer.data.dataset import Dataset

_SLOWER = 1.02
"""Above this ratio of medians the winner is called slower than the original."""
_TEMPLATES = Path(__file__).parent / "templates"
_SIGNS = {
    Verdict.WINNER: "✓",
    Verdict.FRONT: "○",
    Verdict.DOMINATED: "○",
    Verdict.OVER_BUDGET: "✕",
    Verdict.UNFIT: "✕",
}


def write_report(
    search: Search,
    path: Path,
    *,
    dataset: Dataset | None = None,
) -> None:
    """Write the report of the search to the file.

    Args:
        search: what was tried, and the choice.
        path: the HTML file; its folder exists.
        dataset: the data that the search ran on; with it, what changed from the original to the winner is shown.

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
    """Return the report as one page of HTML; see ``write_report``.

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
    environment.filters |= {
        "size": size_in_words,
        "latency": latency_in_words,
        "points": points_in_words,
        "headed": lambda words: words[:1].upper() + words[1:],
    }
    return environment.get_template("report.html.j2").render(
        search=search,
        fidelity=search.original_fidelity,
        winner=search.winner,
        signs=_SIGNS,
        words=VERDICT_WORDS,
        headline=headline(search),
        place="the target" if search.original_latency.taken_on is TakenOn.TARGET else "this machine",
        traps=traps(search),
        scatter=scatter(search) if search.candidates else None,
        bars=bars(search),
        changed=changed(search, dataset),
        sensitivity=sensitivity_bars(search.sensitivity),
        layers=sorted(search.sensitivity, key=lambda one: (-one.error, one.layer)),
        operators=operator_bars(search.profiles, winner=search.winner.label if search.winner else ""),
        slowest={label: slowest(profile) for label, profile in search.profiles.items() if profile.operators},
        steps_text=_steps_in_words(search.winner.preprocessing if search.winner else ()),
    )


def headline(search: Search) -> str:
    """Return the outcome in one sentence."""
    winner = search.winner
    if winner is None:
        return f"No candidate holds the budgets for {search.target.name}: each reason is below."
    if winner.model.digest == search.original.digest:
        return f"{winner.label} wins: {winner.reason}. It is the same file as the original."
    smaller = search.original.size_bytes / winner.size_bytes
    size = f"{smaller:.1f} times smaller than the original" if smaller >= 1.05 else "no smaller than the original"
    return f"{winner.label} wins: {winner.reason}. It is {size} and {_speed(winner)}; {_change(winner)}."


def _speed(winner: Candidate) -> str:
    """Return its median latency beside the original's of the same run, and why a slower one is shipped."""
    place = "the target" if winner.latency.taken_on is TakenOn.TARGET else "this machine"
    forced = "; another budget or the objective forced it" if winner.ratio > _SLOWER else ""
    return f"takes {winner.ratio:.2f} times the original's latency on {place}{forced}"


def _change(winner: Candidate) -> str:
    fidelity = winner.fidelity
    if fidelity.unit != "points":
        return (
            f"{fidelity.title} goes from {fidelity.in_words(fidelity.original)} to {fidelity.in_words(fidelity.value)} "
            f"on {fidelity.n} holdout rows"
        )
    points = -100 * fidelity.drop.value
    moved = f"changes by {points:+.2f} points" if round(points, 2) else "is unchanged"
    return f"{fidelity.title} {moved} on {fidelity.n} holdout rows"


def _steps_in_words(steps: tuple[Step, ...]) -> str:
    return ", then ".join(f"{step.kind.value.replace('_', ' ')} of {step.tensor}" for step in steps) or "none"
