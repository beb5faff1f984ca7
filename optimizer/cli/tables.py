"""What the commands print of searches: the candidates, why the winner won, what is not known; several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from contracts.manifest import TakenOn
from optimizer.metrics.fidelity import Fidelity
from optimizer.search.candidate import Candidate, Failure, Search, Verdict
from optimizer.words import VERDICT_WORDS, latency_in_words, points_in_words, size_in_words

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Final = {
    Verdict.WINNER: "bold green",
    Verdict.FRONT: "cyan",
    Verdict.DOMINATED: "dim",
    Verdict.OVER_BUDGET: "yellow",
    Verdict.UNFIT: "red",
}
_ORDER: Final = tuple(Verdict)
_SAME_FILE: Final = "same_file"
_ALWAYS_SAID: Final = frozenset({Verdict.OVER_BUDGET, Verdict.UNFIT})
"""The verdicts whose reason is said without being asked for."""
_MEMORY_COLUMNS: Final = 100
"""From this width on there is room for memory."""
_LABEL_COLUMNS: Final = 20
_P95_COLUMNS: Final = 120
"""From this width on there is room for p95 too."""


def print_search(search: Search, console: Console, *, reasons: bool = False) -> None:
    """Print the table of candidates, the winner's reason, what was not possible, and what is not known.

    Args:
        search: what to print.
        console: where to.
        reasons: also print why each of the others lost, with its interval.
    """
    console.print(_candidates(search, columns=console.width))
    for line in _reasons(search, everything=reasons):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(escape(_measured_how(search)), highlight=False, soft_wrap=True)
    for line in search.pruning:
        console.print(escape(line), highlight=False, soft_wrap=True)
    for note in search.notes:
        console.print(f"[yellow]{escape(note)}[/]", highlight=False, soft_wrap=True)


def print_searches(searches: Mapping[str, Search], console: Console) -> None:
    """Print the winners of several searches side by side, each beside its own original."""
    table = _table("the winner of each folder")
    table.add_column("folder", overflow="fold")
    table.add_column("winner", min_width=_LABEL_COLUMNS)
    for heading in ("size", "metric", "drop", "p50", "x orig.", "memory"):
        table.add_column(heading, justify="right")
    for name, search in searches.items():
        table.add_row(escape(name), *_winner_cells(search))
    console.print(table)
    for name, search in searches.items():
        about = f"{name}: {search.original.name} for {search.target.name}. {_measured_how(search)}"
        console.print(escape(about), highlight=False, soft_wrap=True)


def _candidates(search: Search, *, columns: int) -> Table:
    """Return the table; only labels and verdicts wrap, between words, so that nothing is cut."""
    fidelity, original = search.original_fidelity, search.original
    table = _table(f"{original.name} for {search.target.name}: {_where(search)}")
    table.add_column("candidate")
    for heading in (
        "size",
        fidelity.title,
        _drop_heading(fidelity),
        "p50",
        "x orig.",
        *_shown(columns, "p95", "memory"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    latency = search.original_latency
    table.add_row(
        f"original ({original.format})",
        size_in_words(original.size_bytes),
        fidelity.in_words(fidelity.value),
        "",
        latency_in_words(latency.p50_ms),
        "1.00",
        *_shown(columns, latency_in_words(latency.p95_ms), ""),
        "",
    )
    for candidate in sorted(search.candidates, key=lambda one: _ORDER.index(one.verdict)):
        style = _STYLES[candidate.verdict]
        table.add_row(*_row(candidate, columns=columns), style=style if candidate.verdict is Verdict.WINNER else None)
    return table


def _row(candidate: Candidate, *, columns: int) -> tuple[str, ...]:
    style, word = _STYLES[candidate.verdict], VERDICT_WORDS[candidate.verdict]
    return (
        escape(candidate.label),
        size_in_words(candidate.size_bytes),
        candidate.fidelity.in_words(candidate.fidelity.value),
        points_in_words(candidate.fidelity.drop.value),
        latency_in_words(candidate.latency.p50_ms),
        f"{candidate.ratio:.2f}",
        *_shown(columns, latency_in_words(candidate.latency.p95_ms), size_in_words(candidate.memory_bytes)),
        f"[{style}]{word}[/]",
    )


def _shown(columns: int, p95: str, memory: str) -> tuple[str, ...]:
    """Return those of the two that there is room for."""
    return (*((p95,) if columns >= _P95_COLUMNS else ()), *((memory,) if columns >= _MEMORY_COLUMNS else ()))


def _reasons(search: Search, *, everything: bool) -> Iterator[str]:
    """Yield the lines under the table: the winner's reason, what missed a budget, and the others where wanted."""
    winner = search.winner
    if winner is not None:
        yield f"[bold green]{escape(winner.label)}[/]: {escape(winner.reason)}"
        yield f"  {escape(_interval(winner))}"
    for one in search.candidates:
        if one is not winner and (everything or one.verdict in _ALWAYS_SAID):
            yield f"{escape(one.label)}: {escape(one.reason)}" + (f"; {escape(_interval(one))}" if everything else "")
    same = [one for one in search.failures if one.code == _SAME_FILE]
    for failure in search.failures:
        if everything or failure not in same:
            yield f"[dim]{escape(_failed(failure))}[/]"
    if not everything and len(search.candidates) > 1:
        yield "[dim]Why each other lost: the report, or edgeship recipe compare FOLDER --reasons[/]"


def _failed(failure: Failure) -> str:
    return f"{failure.label}: {'' if failure.code == _SAME_FILE else 'left out, '}{failure.cause}"


def _interval(candidate: Candidate) -> str:
    drop, fidelity = candidate.fidelity.drop, candidate.fidelity
    return (
        f"{_what_drops(fidelity)} {points_in_words(drop.value)} {fidelity.unit}, 95 % interval "
        f"{points_in_words(drop.low)} to {points_in_words(drop.high)}, on {fidelity.n:,} rows"
    )


def _what_drops(fidelity: Fidelity) -> str:
    return "drop" if fidelity.higher_is_better else f"rise of the {fidelity.title}"


def _drop_heading(fidelity: Fidelity) -> str:
    if fidelity.higher_is_better:
        return f"drop,\n{fidelity.unit}"
    return f"{fidelity.title}\nrise, {fidelity.unit}"


def _where(search: Search) -> str:
    on_target = search.original_latency.taken_on is TakenOn.TARGET
    return "latency and memory on the target" if on_target else "latency and memory on this machine, not on the target"


def _measured_how(search: Search) -> str:
    latency = search.original_latency
    threads = f"{latency.threads} thread{'s' * (latency.threads > 1)}"
    return (
        f"Latency of one row, {threads}, n = {latency.n} after {latency.warmup} to warm up, in turn with the original, "
        f"on {search.machine}."
    )


def _winner_cells(search: Search) -> Sequence[str]:
    winner = search.winner
    if winner is None:
        return ("none holds the budgets", *[""] * 6)
    fidelity = winner.fidelity
    return (
        escape(winner.label),
        size_in_words(winner.size_bytes),
        f"{fidelity.title} {fidelity.in_words(fidelity.value)}",
        f"{points_in_words(fidelity.drop.value)} {fidelity.unit}",
        latency_in_words(winner.latency.p50_ms),
        f"{winner.ratio:.2f}",
        size_in_words(winner.memory_bytes),
    )


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
