"""The options that several commands share, and the objects that they spell."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from optimizer.benchmark.runner import Runner
    from optimizer.recipe import Subject
    from optimizer.search.case import Bench
    from optimizer.store import Store

FILE: Final = click.Path(path_type=Path)
OBJECTIVES: Final = ("size", "latency")
_AT_LEAST_1: Final = click.IntRange(min=1)
_KEPT: Final = "by default in your cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchWords:
    """How to measure, as typed on the command line."""

    runs: int
    threads: int
    seed: int
    store: Path | None
    runner: str
    figures: Path | None
    replay: Path | None
    storage: str

    def bench(self, *, target: str = "", kept: Path | None = None) -> Bench:
        """Return the bench.

        Args:
            target: the profile's name; ``host`` makes this machine's figures the target's.
            kept: folder for the search's account and figures, where the user names no other.
        """
        from optimizer.benchmark.timing import Effort
        from optimizer.search.case import Bench

        figures = self.figures or (kept / "figures" if kept else None)
        return Bench(
            effort=Effort(runs=self.runs, least_runs=min(self.runs, Effort().least_runs)),
            threads=self.threads,
            store=self.pass_store(),
            runner=self.runner_of(target),
            figures=None if self.replay else figures,
            storage=self.storage or (f"sqlite:///{kept / 'search.db'}" if kept else ""),
        )

    def pass_store(self) -> Store:
        """Return the store of results of passes: the user's cache unless told otherwise."""
        from optimizer.store import FolderStore

        return FolderStore(self.store or Path.home() / ".cache" / "edgeship" / "store")

    def runner_of(self, target: str) -> Runner:
        """Return who measures for a target of that name.

        Raises:
            UsageError: both a runner and a replay are asked for.
        """
        from contracts.manifest import TakenOn
        from optimizer.benchmark.command import CommandRunner
        from optimizer.benchmark.kept import ReplayRunner
        from optimizer.benchmark.runner import HostRunner

        if self.replay and self.runner:
            raise click.UsageError("--replay measures nothing, so it takes no --runner; leave one of them out")
        if self.replay:
            return ReplayRunner(self.replay)
        if self.runner:
            return CommandRunner(self.runner, seed=self.seed)
        return HostRunner(taken_on=TakenOn.TARGET if target == "host" else TakenOn.HOST, seed=self.seed)


def budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the budget's options to a command and hand it one ``budget``."""

    @click.option("--max-drop", default="1pp", show_default=True, help="Accuracy that may be lost, as in 0.5pp.")
    @click.option("--max-latency", help="p95 of one row on the target, as in 20ms.")
    @click.option("--max-size", help="Of the model file, as in 200KB.")
    @click.option("--max-memory", help="That loading and running may add, as in 64MB; by default the profile's.")
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
    return click.option(
        "--objective",
        type=click.Choice(OBJECTIVES),
        help="What to prefer; by default latency where it is taken on the target itself, else size.",
    )(command)


def bench_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of measuring to a command and hand it one ``bench``."""

    @click.option("--runs", default=200, show_default=True, type=_AT_LEAST_1, help="Timed runs of each finalist.")
    @click.option("--threads", default=1, show_default=True, type=_AT_LEAST_1, help="Threads of a runtime.")
    @click.option("--runner", default="", help="Command that leads to the target, which measures: 'ssh pi'.")
    @click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of splits and orders.")
    @click.option("--store", type=FILE, help=f"Folder that keeps results of passes; {_KEPT}.")
    @click.option("--figures", type=FILE, help="Folder that keeps every figure taken; by default in the output.")
    @click.option("--replay", type=FILE, help="Folder of kept figures: use those, measure nothing.")
    @click.option("--storage", default="", help="Account to share with other workers, as in postgresql://HOST/DB.")
    @functools.wraps(command)
    def wrapped(  # one option each
        *,
        runs: int,
        threads: int,
        seed: int,
        store: Path | None,
        runner: str,
        figures: Path | None,
        replay: Path | None,
        storage: str,
        **rest: Any,
    ) -> None:
        words = BenchWords(
            runs=runs,
            threads=threads,
            seed=seed,
            store=store,
            runner=runner,
            figures=figures,
            replay=replay,
            storage=storage,
        )
        command(bench=words, **rest)

    return wrapped


def store_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--store`` and hand the command one ``bench`` that only has a store."""

    @click.option("--store", type=FILE, help=f"Folder that keeps results of passes; {_KEPT}.")
    @functools.wraps(command)
    def wrapped(*, store: Path | None, **rest: Any) -> None:
        words = BenchWords(runs=1, threads=1, seed=0, store=store, runner="", figures=None, replay=None, storage="")
        command(bench=words, **rest)

    return wrapped


def subject_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how model and data are read, and hand the command ``about``: words to a subject."""

    @click.option("--builder", default="", help="For a file of weights: module:function that makes the network.")
    @click.option("--shape", multiple=True, help="Of an input that the model does not tell: image=1,3,224,224[:TYPE].")
    @click.option("--label", default="", help="Column or array of the label; by default label, target, class or y.")
    @click.option("--metric", default="", help="accuracy, auc, rmse, cosine, neighbours, agreement or module:function.")
    @click.option("--order", type=click.Choice(("shuffled", "time")), default="shuffled", help="What row order means.")
    @click.option(
        "--calibration-rows", default=500, show_default=True, type=_AT_LEAST_1, help="Rows to calibrate with."
    )
    @click.option("--sample-rate", default=0, type=click.IntRange(min=0), help="Of sound, as in 16000.")
    @click.option("--transform", default="", help="module:function that makes a row of a decoded clip or image.")
    @click.option("--preprocess", multiple=True, help="From what clients send to what the model takes: x:scale=0.0625.")
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
