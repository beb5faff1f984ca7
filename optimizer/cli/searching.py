"""Running a search from a command: model and data opened, a bar for how far it is, the folder written, the table."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.screen import console, progress, say

if TYPE_CHECKING:
    from optimizer.cli.screen import Tell
    from optimizer.cli.words import BenchWords, BudgetWords
    from optimizer.recipe import Subject
    from optimizer.search.candidate import Candidate, Search
    from optimizer.search.case import Bench, Case
    from optimizer.search.proposing.rounds import Round

REPORT = "report.html"
_OPENED = 0.05
"""Share of the bar that opening model and data take, and that writing the report takes."""


def run_search(
    subject: Subject,
    rounds: Sequence[Round],
    *,
    budget: BudgetWords,
    bench: BenchWords,
    out: Path,
) -> None:
    """Search while telling how far it is, write the folder, print the table; fail where nothing holds the budgets.

    Raises:
        BudgetError: no candidate holds the budgets; the report says why, and is written all the same.
        OptimizerError: model or data are not there or do not fit, the folder cannot be written, or the original
            cannot be run.
    """
    from optimizer.cli.tables import print_search
    from optimizer.errors import BudgetError
    from optimizer.search.folder import check_folder, make_folder
    from optimizer.search.optimize import search

    limits, wanted = budget.budget(), budget.wanted()
    measuring = bench.bench(target=subject.target, kept=out)
    with progress() as tell:
        _ask_runner(measuring, tell)
        case = _open_case(subject, tell)
        check_folder(out, case.model)
        make_folder(out)
        found = search(
            case,
            rounds,
            budget=limits,
            objective=wanted,
            bench=measuring,
            progress=lambda what, share: tell(what, _OPENED + (1 - 2 * _OPENED) * share),
        )
        tell("writing the report", 1 - _OPENED)
        written = _write(found, case, subject, out)
    print_search(found, console())
    if found.winner is None:
        raise BudgetError(f"no candidate holds the budgets; see {out / REPORT} and loosen one of them")
    click.echo(f"wrote {written} and {out / REPORT}")


def version() -> str:
    """Return the installed version of edgeship."""
    return importlib.metadata.version("edgeship")


def _ask_runner(bench: Bench, tell: Tell) -> None:
    """Return once whoever measures answers: a command that leads nowhere is said before any work.

    Raises:
        MeasureFailed: it does not.
    """
    if bench.runner is not None:
        tell("asking who measures", 0.0)
        _ = bench.runner.machine


def _open_case(subject: Subject, tell: Tell) -> Case:
    """Return the case that the words are about; what the user should know of model and data is printed.

    Raises:
        OptimizerError: model or data are not there, or do not fit.
    """
    from optimizer.errors import MetricError
    from optimizer.recipe.planning import metric_objections
    from optimizer.search.case import Case, checked_calibration

    for objection in metric_objections(subject.metric):
        raise MetricError(objection)
    target = subject.open_target()
    tell(f"opening {subject.model}", 0.0)
    model = subject.open_model(told=say)
    tell(f"reading {subject.data}", _OPENED / 2)
    case = Case(
        model=model,
        dataset=subject.open_dataset(model),
        target=target,
        preprocessing=subject.preprocessing,
        metric=subject.metric,
    )
    checked_calibration(case)
    return case


def _write(found: Search, case: Case, subject: Subject, out: Path) -> Path:
    from device_profiles.profile import DeviceClass
    from optimizer.microcontroller.bundle import FOLDER as SOURCES
    from optimizer.report import write_report
    from optimizer.search.folder import write_search
    from optimizer.search.lock import FILE, lock_of, write_lock

    written = write_search(found, out, subject=subject)
    write_report(found, out / REPORT, dataset=case.dataset)
    if found.winner is not None:
        write_lock(lock_of(found, subject, edgeship=version()), out / FILE)
        if found.target.device_class is DeviceClass.MICROCONTROLLER:
            _write_sources(found.winner, case, out / SOURCES)
    else:
        (out / FILE).unlink(missing_ok=True)
    return written


def _write_sources(winner: Candidate, case: Case, folder: Path) -> None:
    """Write what a program for a microcontroller is built of, with golden rows of the data it was judged by."""
    from optimizer.microcontroller.bundle import golden_rows, write_bundle
    from optimizer.served import serve

    served = serve(winner.model, case.model, case.preprocessing)
    write_bundle(winner.model, golden_rows(served, case.dataset.holdout), folder)
    say(f"wrote {folder}: C arrays, operators, arena and golden rows")
