"""``edgeship recipe``: plan, run, explore, compare, show and pack recipes of passes.

A thin skin over the objects of this package: each command reads its files, calls one function and
prints. Heavy modules are imported in the bodies, so that help is quick.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optimizer.cli.options import (
    FILE,
    BenchWords,
    bench_options,
    budget_options,
    objective_option,
    store_option,
)
from optimizer.cli.screen import console, say

if TYPE_CHECKING:
    from optimizer.data.dataset import Dataset
    from optimizer.plan import Plan
    from optimizer.recipe import Recipe
    from optimizer.search.budget import OptimizeBudget
    from optimizer.search.candidate import Search
    from optimizer.store import Store


@click.group()
def recipe() -> None:
    """Plan, run, explore, compare and pack recipes of passes."""


@recipe.command()
@click.argument("recipe_file", metavar="RECIPE", type=FILE)
def plan(recipe_file: Path) -> None:
    """Print what the recipe would run, or every objection; does no work."""
    read, bound = _planned(recipe_file)
    click.echo(f"{bound}\nfor {read.subject.target}: no objection")


@recipe.command()
@click.argument("recipe_file", metavar="RECIPE", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, help="File for the model that comes out.")
@store_option
def run(recipe_file: Path, *, out: Path, bench: BenchWords) -> None:
    """Run the recipe and write the model that comes out."""
    from optimizer.cli.tables import print_lineage

    _, bound = _planned(recipe_file, store=bench.pass_store())
    product = bound.run(told=lambda step: click.echo(f"  {step} ..."))
    product.model.save(out)
    print_lineage(product.label, bound.source.name, product.lineage, console())
    click.echo(f"wrote {out}")


@recipe.command()
@click.argument("recipe_files", metavar="RECIPE...", type=FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=FILE, required=True, help="Folder for the winner, report.html and search.json.")
@objective_option
@budget_options
@bench_options
def explore(
    recipe_files: tuple[Path, ...], *, out: Path, objective: str | None, budget: OptimizeBudget, bench: BenchWords
) -> None:
    """Run several recipes of one model, measure what comes out and choose.

    Stopped in the middle and called again, it goes on where it was. Called on several machines with one --storage,
    they share the work.
    """
    from optimizer.cli.searching import open_case, run_search
    from optimizer.errors import RecipeError
    from optimizer.recipe import load
    from optimizer.search.making import Attempt

    recipes = {path.stem: load(path) for path in recipe_files}
    subject = next(iter(recipes.values())).subject
    for label, other in recipes.items():
        if other.subject != subject:
            raise RecipeError(f"{label} is about another model, data, target or preprocessing; explore one at a time")
    attempts = tuple(Attempt(label=label, pipeline=one.pipeline) for label, one in recipes.items())
    case = open_case(subject)
    run_search(case, (lambda _known: attempts,), subject, budget=budget, objective=objective, bench=bench, out=out)


@recipe.command()
@click.argument("folders", metavar="FOLDER...", type=FILE, nargs=-1, required=True)
def compare(folders: tuple[Path, ...]) -> None:
    """Print the table of candidates of each folder that optimize or explore wrote."""
    from optimizer.cli.tables import print_search
    from optimizer.search.folder import read_search

    screen = console()
    for folder in folders:
        print_search(read_search(folder), screen)


@recipe.command()
@click.argument("path", type=FILE)
def show(path: Path) -> None:
    """Print what an artifact, a model file, a recipe or a folder of optimize says of itself."""
    from contracts.artifact import read_artifact_file
    from optimizer.cli.tables import print_artifact, print_lineage, print_model
    from optimizer.recipe import dump, load
    from optimizer.search.folder import read_search
    from optimizer.source import open_model

    screen = console()
    if path.is_dir():
        search = read_search(path)
        for candidate in search.candidates:
            print_lineage(candidate.label, search.original.name, candidate.lineage, screen)
    elif path.suffix == ".artifact":
        print_artifact(read_artifact_file(path), screen)
    elif path.suffix == ".toml":
        click.echo(dump(load(path)), nl=False)
    else:
        print_model(open_model(str(path), told=say), screen)


@recipe.command()
@click.argument("name", required=False)
def passes(name: str | None) -> None:
    """Print the passes with their fields, defaults and units, or the one that is named."""
    from optimizer.cli.tables import print_passes
    from optimizer.passes import CATALOG
    from optimizer.recipe import pass_named

    print_passes((pass_named(name),) if name else CATALOG, console())


@recipe.command()
@click.argument("folder", type=FILE)
@click.option("--data", default="", help="The data that the search ran on, where they lie elsewhere now.")
@click.option("--version", required=True, help="Of the model, as in 1.2.0.")
@click.option("--counter", type=click.IntRange(min=1), required=True, help="Of the release; only grows.")
@click.option("--candidate", help="Its label; by default the winner.")
@click.option("-o", "--out", type=FILE, required=True, help="The artifact file to write.")
def pack(folder: Path, *, data: str, version: str, counter: int, candidate: str | None, out: Path) -> None:
    """Pack the winner (or another candidate) of a folder that optimize wrote into an artifact."""
    from contracts.manifest import Budget
    from optimizer.errors import PackingError
    from optimizer.packing import pack as packed
    from optimizer.search.folder import read_search
    from optimizer.whole_file import write_whole

    search = read_search(folder)
    dataset = _data_of(folder, search, data)
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


def _planned(recipe_file: Path, *, store: Store | None = None) -> tuple[Recipe, Plan]:
    from optimizer.calibration.rows import CalibrationSet
    from optimizer.recipe import load

    read = load(recipe_file)
    subject = read.subject
    model = subject.open_model(told=say)
    calibration = None
    if subject.data:
        calibration = CalibrationSet.of(subject.open_dataset(model).calibration, preprocessing=subject.preprocessing)
    bound = read.pipeline.plan(
        model, subject.open_target(), calibration=calibration, store=store, label=recipe_file.stem
    )
    return read, bound


def _data_of(folder: Path, search: Search, data: str) -> Dataset:
    """Return the data that the search ran on, from where its lock names them or the user says."""
    from optimizer.errors import LockError, PackingError
    from optimizer.recipe import Subject
    from optimizer.search.lock import FILE as LOCK
    from optimizer.search.lock import read_lock

    try:
        subject = read_lock(folder / LOCK).recipe.subject
    except LockError as error:
        if not data:
            raise PackingError(f"{folder} does not say where its data are ({error}); give --data") from error
        subject = Subject(model="", target=search.target.name)
    where = data or subject.data
    dataset = dataclasses.replace(subject, data=where).open_dataset(search.original)
    if dataset.digest != search.data:
        raise PackingError(f"{where} is not the data that {folder} was judged by; give those, or run optimize again")
    return dataset


def _chosen(search: Search, label: str | None) -> Any:
    from optimizer.errors import PackingError

    chosen = search.winner if label is None else next((one for one in search.candidates if one.label == label), None)
    if chosen is None:
        labels = ", ".join(repr(one.label) for one in search.candidates)
        raise PackingError(
            f"no candidate {label!r}" if label else f"the search has no winner; give --candidate: {labels}"
        )
    return chosen
