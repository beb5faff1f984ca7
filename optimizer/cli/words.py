"""What users typed, as values; each makes the object that it spells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.screen import said_once

if TYPE_CHECKING:
    from optimizer.benchmark.runner import Runner
    from optimizer.benchmark.timing import Effort
    from optimizer.passes import FineTune
    from optimizer.recipe import Subject
    from optimizer.search.budget import Objective, OptimizeBudget
    from optimizer.search.case import Bench
    from optimizer.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectWords:
    """What to optimize, as typed on the command line."""

    model: str
    data: str
    target: str
    builder: str
    shape: tuple[str, ...]
    preprocess: tuple[str, ...]
    label: str
    metric: str
    calibration_rows: int
    order: str
    sample_rate: int
    transform: str

    @property
    def missing(self) -> tuple[str, ...]:
        """What must be given and is not."""
        told = {"MODEL": self.model, "--data": self.data, "--target": self.target}
        return tuple(name for name, value in told.items() if not value)

    def subject(self, *, seed: int) -> Subject:
        """Return what the search is about.

        Raises:
            RecipeError: a preprocessing step is not spelt as one.
        """
        from optimizer.data.splits import DataOptions, Order
        from optimizer.recipe import Subject, parse_step

        options = DataOptions(
            label=self.label,
            seed=seed,
            calibration_rows=self.calibration_rows,
            order=Order(self.order),
            sample_rate=self.sample_rate,
            transform=self.transform,
        )
        return Subject(
            model=self.model,
            builder=self.builder,
            shapes=self.shape,
            target=self.target,
            data=self.data,
            options=options,
            metric=self.metric,
            preprocessing=tuple(parse_step(text) for text in self.preprocess),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWords:
    """What it may cost and what to prefer, as typed on the command line."""

    objective: str | None
    max_drop: str
    max_latency: str | None
    max_size: str | None
    max_memory: str | None

    def budget(self) -> OptimizeBudget:
        """Return the budgets.

        Raises:
            BudgetError: one is not spelt as a drop, a time or a size.
        """
        from optimizer.search.budget import OptimizeBudget, parse_latency_ms, parse_share, parse_size

        return OptimizeBudget(
            max_drop=parse_share(self.max_drop),
            max_latency_ms=parse_latency_ms(self.max_latency) if self.max_latency else None,
            max_memory_bytes=parse_size(self.max_memory) if self.max_memory else None,
            max_size_bytes=parse_size(self.max_size) if self.max_size else None,
        )

    def wanted(self) -> Objective | None:
        """Return what to prefer; None where the search decides."""
        from optimizer.search.budget import Objective

        return Objective(self.objective) if self.objective else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningWords:
    """Whether and how to prune, as typed on the command line; ``prune`` is epochs."""

    prune: int | None
    train: str

    def training(self) -> FineTune | None:
        """Return how to train what is cut; None where nothing is to be pruned.

        Raises:
            UsageError: a function to train with is named, and pruning is not asked for.
            PassFailed: there is no such function.
        """
        from optimizer.errors import PassFailed
        from optimizer.passes import FineTune
        from optimizer.user_function import code_of

        if self.prune is None:
            if self.train:
                raise click.UsageError("--train trains what is pruned; give --prune too")
            return None
        code = code_of(self.train, error=PassFailed) if self.train else ""
        return FineTune(epochs=self.prune, train=self.train, code=code)


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
        from device_profiles import load_profile
        from optimizer.benchmark.choice import choose_runner
        from optimizer.benchmark.kept import ReplayRunner

        if self.replay and self.runner:
            raise click.UsageError("--replay measures nothing, so it takes no --runner; leave one of them out")
        if self.runner and target == "host":
            raise click.UsageError("--target host is this machine; leave --runner out, or name that device's profile")
        if self.replay:
            return ReplayRunner(self.replay)
        profile = load_profile(target or "host")
        return choose_runner(profile, command=self.runner, seed=self.seed, told=said_once())
