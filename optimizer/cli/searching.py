"""Running a search from a command: the case opened with a word on each step, a progress bar, the folder written."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.options import BenchWords
from optimizer.cli.screen import console, say

if TYPE_CHECKING:
    from optimizer.recipe import Subject
    from optimizer.search.budget import OptimizeBudget
    from optimizer.search.candidate import Search
    from optimizer.search.case import Case
    from optimizer.search.rounds import Round

REPORT = "report.html"


def open_case(subject: Subject) -> Case:
    """Return the case that the words are about; what the user should know of model and data is printed.

    Raises:
        OptimizerError: model or data are not there, or do not fit.
    """
    from optimizer.search.case import Case, checked_calibration

    model = subject.open_model(told=say)
    case = Case(
        model=model,
        dataset=subject.open_dataset(model),
        target=subject.open_target(),
        preprocessing=subject.preprocessing,
        metric=subject.metric,
    )
    checked_calibration(case)
    return case


def run_search(
    case: Case,
    rounds: Sequence[Round],
    subject: Subject,
    *,
    budget: OptimizeBudget,
    objective: str | None,
    bench: BenchWords,
    out: Path,
) -> None:
    """Search with a progress bar, write the folder, print the table; fail where nothing holds the budgets.

    Raises:
        BudgetError: no candidate holds the budgets; the report says why, and is written all the same.
        OptimizerError: the folder cannot be written, or the original cannot be run.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from optimizer.cli.tables import print_search
    from optimizer.errors import BudgetError
    from optimizer.search.budget import Objective
    from optimizer.search.folder import make_folder
    from optimizer.search.optimize import search

    make_folder(out)
    screen = console()
    columns = (BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=screen, transient=True) as bar:
        line = bar.add_task("reading", total=1.0)
        found = search(
            case,
            rounds,
            budget=budget,
            objective=Objective(objective) if objective else None,
            bench=bench.bench(target=subject.target, kept=out),
            progress=lambda what, share: bar.update(line, description=what, completed=share),
        )
    written = _write(found, case, subject, out)
    print_search(found, screen)
    if found.winner is None:
        raise BudgetError(f"no candidate holds the budgets; see {out / REPORT} and loosen one of them")
    click.echo(f"wrote {written} and {out / REPORT}")


def _write(found: Search, case: Case, subject: Subject, out: Path) -> Path:
    from optimizer.report import write_report
    from optimizer.search.folder import write_search
    from optimizer.search.lock import FILE, lock_of, write_lock

    written = write_search(found, out)
    write_report(found, out / REPORT, dataset=case.dataset)
    if found.winner is not None:
        locked = lock_of(found, subject.seen_from(out), edgeship=version())
        write_lock(locked, out / FILE)
    return written


def version() -> str:
    """Return the installed version of edgeship."""
    return importlib.metadata.version("edgeship")
