"""The commands: ``edgeship optimize``, ``edgeship recipe ...`` and ``edgeship benchmark``.

A thin skin over the objects of this package: each command reads its files, calls one function and
prints. Heavy modules are imported in the bodies, so that help is quick.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from optimizer.plan import Plan
    from optimizer.recipe import Recipe
    from optimizer.search.budget import OptimizeBudget
    from optimizer.search.candidate import Search
    from optimizer.search.exploration import Attempt
    from optimizer.search.optimize import Bench, Case

_FILE = click.Path(path_type=Path)
_OBJECTIVES = ("size", "latency")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchWords:
    """How to measure, as typed on the command line."""

    runs: int
    threads: int
    store: Path | None

    def bench(self) -> Bench:
        """Return the bench; results of passes are kept in the user's cache unless told otherwise."""
        from optimizer.benchmark.timing import Effort
        from optimizer.search.optimize import Bench
        from optimizer.store import FolderStore

        return Bench(
            effort=Effort(runs=self.runs, least_runs=min(self.runs, Effort().least_runs)),
            threads=self.threads,
            store=FolderStore(self.store or Path.home() / ".cache" / "edgeship" / "store"),
        )


def _budget_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the budget's options to a command and hand it one ``budget``."""

    @click.option("--max-drop", default="1pp", show_default=True, help="Accuracy that may be lost, as in 0.5pp.")
    @click.option("--max-latency", help="Of one row on the target, as in 20ms. Not decided on this machine.")
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


def _bench_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of measuring to a command and hand it one ``bench``."""

    @click.option("--runs", default=200, show_default=True, type=click.IntRange(min=1), help="Timed runs of each.")
    @click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Threads of a runtime.")
    @click.option("--store", type=_FILE, help="Folder that keeps results of passes; by default in your cache.")
    @functools.wraps(command)
    def wrapped(*, runs: int, threads: int, store: Path | None, **rest: Any) -> None:
        command(bench=BenchWords(runs=runs, threads=threads, store=store), **rest)

    return wrapped


@click.command()
@click.argument("model", type=_FILE)
@click.option(
    "--data",
    "data",
    type=_FILE,
    required=True,
    help="NPZ with calibration/TENSOR, holdout/TENSOR, holdout/label, as in --data rows.npz.",
)
@click.option("--target", required=True, help="A profile's name, as in raspberry-pi-4 (edgeship profile ls).")
@click.option("-o", "--out", type=_FILE, required=True, help="Folder for the winner, report.html and search.json.")
@click.option(
    "--preprocess", multiple=True, help="From what clients send to what the model takes: 'image:scale=0.0625'."
)
@click.option("--objective", type=click.Choice(_OBJECTIVES), default="size", show_default=True, help="What to prefer.")
@_budget_options
@_bench_options
def optimize(
    model: Path,
    *,
    data: Path,
    target: str,
    out: Path,
    preprocess: tuple[str, ...],
    objective: str,
    budget: OptimizeBudget,
    bench: BenchWords,
) -> None:
    """Find the best artifact of MODEL (.onnx, .tflite, .pt2) for a device, within budgets."""
    from device_profiles import load_profile
    from optimizer.data.dataset import Dataset
    from optimizer.model import Model
    from optimizer.recipe import parse_step
    from optimizer.search.optimize import Case, attempts_for

    profile = load_profile(target)
    case = Case(
        model=Model.load(model),
        dataset=Dataset.load(data),
        target=profile,
        preprocessing=tuple(parse_step(text) for text in preprocess),
    )
    _search(case, attempts_for(case.model, profile), budget=budget, objective=objective, bench=bench, out=out)


@click.group()
def recipe() -> None:
    """Plan, run, explore, compare and pack recipes of passes."""


@recipe.command()
@click.argument("recipe_file", metavar="RECIPE", type=_FILE)
def plan(recipe_file: Path) -> None:
    """Print what the recipe would run, or every objection; does no work."""
    read, bound = _planned(recipe_file)
    click.echo(f"{bound}\nfor {read.target}: no objection")


@recipe.command()
@click.argument("recipe_file", metavar="RECIPE", type=_FILE)
@click.option("-o", "--out", type=_FILE, required=True, help="File for the model that comes out.")
@click.option("--store", type=_FILE, help="Folder that keeps results of passes; by default in your cache.")
def run(recipe_file: Path, *, out: Path, store: Path | None) -> None:
    """Run the recipe and write the model that comes out."""
    from optimizer.cli.tables import print_lineage

    _, bound = _planned(recipe_file, BenchWords(runs=1, threads=1, store=store).bench())
    product = bound.run(told=lambda step: click.echo(f"  {step} ..."))
    product.model.save(out)
    print_lineage(product.label, bound.source, product.lineage, _console())
    click.echo(f"wrote {out}")


@recipe.command()
@click.argument("recipe_files", metavar="RECIPE...", type=_FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=_FILE, required=True, help="Folder for the winner, report.html and search.json.")
@click.option("--objective", type=click.Choice(_OBJECTIVES), default="size", show_default=True, help="What to prefer.")
@_budget_options
@_bench_options
def explore(
    recipe_files: tuple[Path, ...], *, out: Path, objective: str, budget: OptimizeBudget, bench: BenchWords
) -> None:
    """Run several recipes of one model, measure what comes out and choose."""
    from device_profiles import load_profile
    from optimizer.data.dataset import Dataset
    from optimizer.errors import RecipeError
    from optimizer.model import Model
    from optimizer.recipe import load
    from optimizer.search.exploration import Attempt
    from optimizer.search.optimize import Case

    recipes = {path.stem: load(path) for path in recipe_files}
    first = next(iter(recipes.values()))
    for label, other in recipes.items():
        if (other.model, other.data, other.target, other.preprocessing) != _about(first):
            raise RecipeError(f"{label} is about another model, data, target or preprocessing; explore one at a time")
    if not first.data:
        raise RecipeError('recipes to explore need data to judge by; write data = "FILE.npz"')
    case = Case(
        model=Model.load(first.model),
        dataset=Dataset.load(first.data),
        target=load_profile(first.target),
        preprocessing=first.preprocessing,
    )
    attempts = tuple(Attempt(label=label, pipeline=one.pipeline) for label, one in recipes.items())
    _search(case, attempts, budget=budget, objective=objective, bench=bench, out=out)


@recipe.command()
@click.argument("folders", metavar="FOLDER...", type=_FILE, nargs=-1, required=True)
def compare(folders: tuple[Path, ...]) -> None:
    """Print the table of candidates of each folder that optimize or explore wrote."""
    from optimizer.cli.tables import print_search
    from optimizer.search.folder import read_search

    console = _console()
    for folder in folders:
        print_search(read_search(folder), console)


@recipe.command()
@click.argument("path", type=_FILE)
def show(path: Path) -> None:
    """Print what an artifact, a model file, a recipe or a folder of optimize says of itself."""
    from contracts.artifact import read_artifact_file
    from optimizer.cli.tables import print_artifact, print_lineage, print_model
    from optimizer.model import Model
    from optimizer.recipe import dump, load
    from optimizer.search.folder import read_search

    console = _console()
    if path.is_dir():
        search = read_search(path)
        for candidate in search.candidates:
            print_lineage(candidate.label, search.original, candidate.lineage, console)
    elif path.suffix == ".artifact":
        print_artifact(read_artifact_file(path), console)
    elif path.suffix == ".toml":
        click.echo(dump(load(path)), nl=False)
    else:
        print_model(Model.load(path), console)


@recipe.command()
@click.argument("name", required=False)
def passes(name: str | None) -> None:
    """Print the passes with their fields, defaults and units, or the one that is named."""
    from optimizer.cli.tables import print_passes
    from optimizer.passes import CATALOG
    from optimizer.recipe import pass_named

    print_passes((pass_named(name),) if name else CATALOG, _console())


@recipe.command()
@click.argument("folder", type=_FILE)
@click.option("--data", type=_FILE, required=True, help="The NPZ that the search ran on, as in --data rows.npz.")
@click.option("--version", required=True, help="Of the model, as in 1.2.0.")
@click.option("--counter", type=click.IntRange(min=1), required=True, help="Of the release; only grows.")
@click.option("--candidate", help="Its label; by default the winner.")
@click.option("-o", "--out", type=_FILE, required=True, help="The artifact file to write.")
def pack(folder: Path, *, data: Path, version: str, counter: int, candidate: str | None, out: Path) -> None:
    """Pack the winner (or another candidate) of a folder that optimize wrote into an artifact."""
    from contracts.manifest import Budget
    from optimizer.data.dataset import Dataset
    from optimizer.errors import PackingError
    from optimizer.packing import pack as packed
    from optimizer.search.folder import read_search
    from optimizer.whole_file import write_whole

    search = read_search(folder)
    dataset = Dataset.load(data)
    if dataset.digest != search.data:
        raise PackingError(f"{data} is not the data that {folder} was judged by; give that file, or run optimize again")
    content = packed(
        _chosen(search, candidate),
        version=version,
        counter=counter,
        profile=search.target.name,
        dataset=dataset,
        budget=Budget(latency_p95_ms=search.budget.max_latency_ms, memory_bytes=search.budget.max_memory_bytes),
    )
    try:
        write_whole(out, content)
    except OSError as error:
        raise PackingError(f"cannot write {out}: {error.strerror}; give a folder that has room") from error
    click.echo(f"wrote {out} ({len(content):,} bytes); sign it with: edgeship release draft {out}")


@click.command()
@click.argument("model", type=_FILE)
@click.option("--against", type=_FILE, multiple=True, help="Another model to alternate with; may be given again.")
@_bench_options
def benchmark(model: Path, *, against: tuple[Path, ...], bench: BenchWords) -> None:
    """Measure MODEL on this machine: latency of one row, memory; alternating with others if given."""
    from optimizer.benchmark.machine import machine_in_words
    from optimizer.benchmark.memory import measure_memory
    from optimizer.benchmark.timing import measure
    from optimizer.cli.tables import print_timings
    from optimizer.model import Model
    from optimizer.served import serve_random_rows

    models = {str(path): Model.load(path) for path in (model, *against)}
    calls = {label: serve_random_rows(one, threads=bench.threads) for label, one in models.items()}
    machine = machine_in_words()
    timings = measure(calls, effort=bench.bench().effort, threads=bench.threads, machine=machine)
    memory = dict(zip(models, measure_memory(tuple(models.values())), strict=True))
    print_timings(timings, memory, machine, _console())


def _search(
    case: Case, attempts: Sequence[Attempt], *, budget: OptimizeBudget, objective: str, bench: BenchWords, out: Path
) -> None:
    """Search with a progress bar, write the folder, print the table; fail where nothing holds the budgets."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from optimizer.cli.tables import print_search
    from optimizer.errors import BudgetError
    from optimizer.report import write_report
    from optimizer.search.budget import Objective
    from optimizer.search.folder import make_folder, write_search
    from optimizer.search.optimize import checked_calibration, search

    checked_calibration(case)
    make_folder(out)
    console = _console()
    columns = (BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task("reading", total=1.0)
        found = search(
            case,
            attempts,
            budget=budget,
            objective=Objective(objective),
            bench=bench.bench(),
            progress=lambda what, share: bar.update(line, description=what, completed=share),
        )
    written = write_search(found, out)
    write_report(found, out / "report.html")
    print_search(found, console)
    if found.winner is None:
        raise BudgetError(f"no candidate holds the budgets; see {out / 'report.html'} and loosen one of them")
    click.echo(f"wrote {written} and {out / 'report.html'}")


def _planned(recipe_file: Path, bench: Bench | None = None) -> tuple[Recipe, Plan]:
    from device_profiles import load_profile
    from optimizer.calibration.rows import CalibrationSet
    from optimizer.model import Model
    from optimizer.recipe import load

    read = load(recipe_file)
    calibration = CalibrationSet.from_npz(read.data, preprocessing=read.preprocessing) if read.data else None
    bound = read.pipeline.plan(
        Model.load(read.model),
        load_profile(read.target),
        calibration=calibration,
        store=bench.store if bench else None,
        label=recipe_file.stem,
    )
    return read, bound


def _chosen(search: Search, label: str | None) -> Any:
    from optimizer.errors import PackingError

    chosen = search.winner if label is None else next((one for one in search.candidates if one.label == label), None)
    if chosen is None:
        labels = ", ".join(repr(one.label) for one in search.candidates)
        raise PackingError(
            f"no candidate {label!r}" if label else f"the search has no winner; give --candidate: {labels}"
        )
    return chosen


def _about(read: Recipe) -> tuple[object, ...]:
    return (read.model, read.data, read.target, read.preprocessing)


def _console() -> Console:
    """Return a console on the present standard output, whatever libraries do to it meanwhile."""
    import sys

    from rich.console import Console

    return Console(file=sys.stdout)
