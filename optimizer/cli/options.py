"""The options that several commands share, and the objects that they spell."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from optimizer.cli.screen import said_once
from optimizer.cli.sections import option

if TYPE_CHECKING:
    from optimizer.benchmark.runner import Runner
    from optimizer.benchmark.timing import Effort
    from optimizer.recipe import Subject
    from optimizer.search.case import Bench
    from optimizer.store import Store

FILE: Final = click.Path(path_type=Path)
OBJECTIVES: Final = ("size", "latency")
AT_LEAST_1: Final = click.IntRange(min=1)
AT_LEAST_0: Final = click.IntRange(min=0)
_STORE_HELP: Final = "Results of passes, by content. Default: ~/.cache/edgeship/store."


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchWords:
    """How to measure, as typed on the command line."""

    runs: int = 1
    threads: int = 1
    seed: int = 0
    runner: str = ""
    store: Path | None = None
    figures: Path | None = None
    replay: Path | None = None
    storage: str = ""

    def bench(self, *, target: str = "", kept: Path | None = None) -> Bench:
        """Return the bench.

        Args:
            target: the profile's name; ``host`` makes this machine's figures the target's.
            kept: folder for the search's account and figures, where the user names no other.
        """
        from optimizer.search.case import Bench

        figures = self.figures or (kept / "figures" if kept else None)
        return Bench(
            effort=self.effort,
            threads=self.threads,
            store=self.pass_store(),
            runner=self.runner_of(target),
            figures=None if self.replay else figures,
            storage=self.storage or (f"sqlite:///{kept / 'search.db'}" if kept else ""),
        )

    @property
    def effort(self) -> Effort:
        """How long to measure."""
        from optimizer.benchmark.timing import Effort

        return Effort(runs=self.runs, least_runs=min(self.runs, Effort().least_runs))

    def pass_store(self) -> Store:
        """Return the store of results of passes: the user's cache unless told otherwise."""
        from optimizer.store import FolderStore

        return FolderStore(self.store or Path.home() / ".cache" / "edgeship" / "store")

    def runner_of(self, target: str) -> Runner:
        """Return who measures for a target of that name.

        Raises:
            UsageError: both a runner and a replay are asked for, or a runner for this machine.
        """
        from contracts.manifest import TakenOn
        from optimizer.benchmark.command import CommandRunner
        from optimizer.benchmark.kept import ReplayRunner
        from optimizer.benchmark.runner import HostRunner

        if self.replay and self.runner:
            raise click.UsageError("--replay measures nothing, so it takes no --runner; leave one of them out")
        if self.runner and target == "host":
            raise click.UsageError("--target host is this machine; leave --runner out, or name that device's profile")
        if self.replay:
            return ReplayRunner(self.replay)
        if self.runner:
            return CommandRunner(self.runner, seed=self.seed)
        taken_on = TakenOn.TARGET if target == "host" else TakenOn.HOST
        return HostRunner(taken_on=taken_on, seed=self.seed, told=said_once())


def budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the budget's options to a command and hand it one ``budget``."""

    @option(
        "Budgets",
        "--max-drop",
        metavar="POINTS",
        default="1pp",
        show_default=True,
        help="What accuracy (or the metric) may lose, as in 0.5pp.",
    )
    @option("Budgets", "--max-latency", metavar="TIME", help="p95 of one row on the target, as in 20ms.")
    @option("Budgets", "--max-size", metavar="BYTES", help="Size of the model file, as in 200KB.")
    @option(
        "Budgets",
        "--max-memory",
        metavar="BYTES",
        help="Memory that loading and running adds, as in 64MB; by default what the profile grants.",
    )
    @functools.wraps(command)
    def wrapped(
        *, max_drop: str, max_latency: str | None, max_size: str | None, max_memory: str | None, **rest: Any
    ) -> None:
        from optimizer.search.budget import OptimizeBudget, parse_latency_ms, parse_share, parse_size

        budget = OptimizeBudget(
            max_drop=parse_share(max_drop),
            max_latency_ms=parse_latency_ms(max_latency) if max_latency else None,
            max_memory_bytes=parse_size(max_memory) if max_memory else None,
            max_size_bytes=parse_size(max_size) if max_size else None,
        )
        command(budget=budget, **rest)

    return wrapped


def objective_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--objective``."""
    return option(
        "Budgets",
        "--objective",
        type=click.Choice(OBJECTIVES),
        help="What to prefer within the budgets; by default latency if it is measured on the target, else size.",
    )(command)


def measuring_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of measuring to a command and hand it one ``bench`` that keeps nothing."""

    @option(
        "Measuring",
        "--runner",
        metavar="COMMAND",
        default="",
        help="Measure on the target behind this command, as in 'ssh pi'; edgeship is installed there.",
    )
    @option(
        "Measuring",
        "--runs",
        default=200,
        show_default=True,
        type=AT_LEAST_1,
        metavar="N",
        help="Timed runs of each finalist.",
    )
    @option(
        "Measuring",
        "--threads",
        default=1,
        show_default=True,
        type=AT_LEAST_1,
        metavar="N",
        help="Threads of the runtime.",
    )
    @option(
        "Measuring",
        "--seed",
        default=0,
        show_default=True,
        type=AT_LEAST_0,
        metavar="N",
        help="Of splits and of run order.",
    )
    @functools.wraps(command)
    def wrapped(*, runner: str, runs: int, threads: int, seed: int, **rest: Any) -> None:
        command(bench=BenchWords(runner=runner, runs=runs, threads=threads, seed=seed), **rest)

    return wrapped


def bench_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of measuring and of what is kept to a command and hand it one ``bench``."""

    @measuring_options
    @option("What is kept", "--store", metavar="FOLDER", type=FILE, help=_STORE_HELP)
    @option(
        "What is kept",
        "--figures",
        metavar="FOLDER",
        type=FILE,
        help="Every latency and memory figure taken; none is taken twice. Default: OUT/figures.",
    )
    @option(
        "What is kept",
        "--replay",
        metavar="FOLDER",
        type=FILE,
        help="Take latency and memory from the figures kept there, and measure nothing.",
    )
    @option(
        "What is kept",
        "--storage",
        metavar="URL",
        default="",
        help="Optuna storage that several workers share, as in postgresql://HOST/DB. Default: OUT/search.db.",
    )
    @functools.wraps(command)
    def wrapped(
        *,
        bench: BenchWords,
        store: Path | None,
        figures: Path | None,
        replay: Path | None,
        storage: str,
        **rest: Any,
    ) -> None:
        kept = dataclasses.replace(bench, store=store, figures=figures, replay=replay, storage=storage)
        command(bench=kept, **rest)

    return wrapped


def store_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--store`` and hand the command one ``bench`` that only has a store."""

    @option("What is kept", "--store", metavar="FOLDER", type=FILE, help=_STORE_HELP)
    @functools.wraps(command)
    def wrapped(*, store: Path | None, **rest: Any) -> None:
        command(bench=BenchWords(store=store), **rest)

    return wrapped


def subject_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how model and data are read, and hand the command ``about``: words to a subject."""

    @option(
        "Model",
        "--builder",
        metavar="FUNCTION",
        default="",
        help="For a file of weights: module:function that returns the network.",
    )
    @option(
        "Model",
        "--shape",
        metavar="NAME=SIZES",
        multiple=True,
        help="Shape of an input that the model leaves open, as in image=1,3,224,224 or ids=1,128:int64.",
    )
    @option(
        "Model",
        "--preprocess",
        metavar="STEP",
        multiple=True,
        help="From what clients send to what the model takes, as in image:scale=0.0625; ships with the model.",
    )
    @option(
        "Data",
        "--label",
        metavar="NAME",
        default="",
        help="Column or array of the label; by default label, target, class or y.",
    )
    @option(
        "Data",
        "--metric",
        metavar="NAME",
        default="",
        help="accuracy, auc, rmse, cosine, neighbours, agreement or module:function; by default what the data allow.",
    )
    @option(
        "Data",
        "--calibration-rows",
        default=500,
        show_default=True,
        type=AT_LEAST_1,
        metavar="N",
        help="Rows to calibrate with, of data that are not split; all others judge.",
    )
    @option(
        "Data",
        "--order",
        type=click.Choice(("shuffled", "time")),
        default="shuffled",
        show_default=True,
        help="How to split: at random, or the first rows calibrate and the later ones judge.",
    )
    @option(
        "Data",
        "--sample-rate",
        metavar="HZ",
        default=0,
        type=AT_LEAST_0,
        help="Resample sound to this rate, as in 16000; by default the files' own.",
    )
    @option(
        "Data",
        "--transform",
        metavar="FUNCTION",
        default="",
        help="module:function that makes the model's row of one decoded image or clip.",
    )
    @functools.wraps(command)
    def wrapped(  # one option each
        *,
        builder: str,
        shape: tuple[str, ...],
        label: str,
        metric: str,
        order: str,
        calibration_rows: int,
        sample_rate: int,
        transform: str,
        preprocess: tuple[str, ...],
        **rest: Any,
    ) -> None:
        def about(model: str, data: str, target: str, *, seed: int) -> Subject:
            from optimizer.data.splits import DataOptions, Order
            from optimizer.recipe import Subject, parse_step

            options = DataOptions(
                label=label,
                seed=seed,
                calibration_rows=calibration_rows,
                order=Order(order),
                sample_rate=sample_rate,
                transform=transform,
            )
            return Subject(
                model=model,
                builder=builder,
                shapes=shape,
                target=target,
                data=data,
                options=options,
                metric=metric,
                preprocessing=tuple(parse_step(text) for text in preprocess),
            )

        command(about=about, **rest)

    return wrapped
