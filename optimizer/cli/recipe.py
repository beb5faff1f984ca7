"""``edgeship recipe``: plan, run, explore, compare, show and pack recipes of passes.

A thin skin over the objects of this package: each command reads its files, calls one function and
prints. Heavy modules are imported in the bodies, so that help is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.options import FILE, bench_options, budget_options, out_option, pruning_options, store_option
from optimizer.cli.pack import card, pack
from optimizer.cli.screen import console, in_steps, progress, say
from optimizer.cli.sections import SectionedCommand, StoryGroup, option
from optimizer.cli.show import show

if TYPE_CHECKING:
    from optimizer.cli.words import BenchWords, BudgetWords, PruningWords


@click.group(cls=StoryGroup)
def recipe() -> None:
    """Plan, run, explore, compare, show and pack recipes of passes.

    A recipe is a TOML file: model, target, data, and a [[pass]] table for each pass. See: edgeship recipe passes.
    """


@recipe.command(short_help="What a recipe would run, or every objection.")
@click.argument("recipe_file", metavar="RECIPE", type=FILE)
def plan(recipe_file: Path) -> None:
    """Print what the recipe would run, or every objection; does no work."""
    from optimizer.errors import PlanError, RecipeError
    from optimizer.recipe import load
    from optimizer.recipe.planning import plan_recipe

    try:
        bound = plan_recipe(load(recipe_file), label=recipe_file.stem, told=say)
    except PlanError as error:
        if len(error.objections) == 1:
            raise
        click.echo("\n".join(f"- {objection}" for objection in error.objections))
        raise RecipeError(f"{len(error.objections)} objections to {recipe_file}; mend them and plan again") from error
    click.echo(f"{bound}\nfor {bound.target.name}: no objection")


@recipe.command(cls=SectionedCommand, short_help="Run a recipe and write the model.")
@click.argument("recipe_file", metavar="RECIPE", type=FILE)
@option("Required", "-o", "--out", metavar="FILE", type=FILE, required=True, help="File for the model that comes out.")
@store_option
def run(recipe_file: Path, *, out: Path, bench: BenchWords) -> None:
    """Run the recipe and write the model that comes out."""
    from optimizer.cli.details import print_lineage
    from optimizer.recipe import load
    from optimizer.recipe.planning import plan_recipe

    bound = plan_recipe(load(recipe_file), label=recipe_file.stem, store=bench.pass_store(), told=say)
    with progress() as tell:
        begin, within = in_steps(tell, len(bound.steps))
        product = bound.run(told=begin, progress=within)
    product.model.save(out)
    print_lineage(product.label, bound.source.name, product.lineage, console())
    click.echo(f"wrote {out}")


@recipe.command(cls=SectionedCommand, short_help="Run several recipes, measure and choose.")
@click.argument("recipe_files", metavar="RECIPE...", type=FILE, nargs=-1, required=True)
@out_option
@budget_options
@pruning_options
@bench_options
def explore(
    recipe_files: tuple[Path, ...], *, out: Path, budget: BudgetWords, pruning: PruningWords, bench: BenchWords
) -> None:
    """Run several recipes of one model, measure what comes out and choose.

    Stopped and called again, it goes on where it was. Called on several machines with one --storage, they share the
    work.
    """
    from optimizer.cli.searching import run_search
    from optimizer.errors import RecipeError
    from optimizer.recipe import load
    from optimizer.search.making import Attempt
    from optimizer.search.proposing.rounds import pruned

    recipes = {path.stem: load(path) for path in recipe_files}
    if len(recipes) < len(recipe_files):
        raise RecipeError("two recipes have the same file name, which is their name in the table; rename one")
    first, *_ = recipes
    subject = recipes[first].subject
    for label, other in recipes.items():
        if other.subject != subject:
            raise RecipeError(
                f"{label} is about another model, data, target or preprocessing than {first}; explore those of one"
            )
    attempts = tuple(Attempt(label=label, pipeline=one.pipeline, built_on=True) for label, one in recipes.items())
    training = pruning.training()
    rounds = (lambda _known: attempts, *((pruned(training),) if training else ()))
    run_search(subject, rounds, budget=budget, bench=bench, out=out)


@recipe.command(short_help="Candidates of a folder, or several winners.")
@click.argument("folders", metavar="FOLDER...", type=FILE, nargs=-1, required=True)
@click.option("--reasons", is_flag=True, help="Also why each candidate lost, with its interval.")
def compare(folders: tuple[Path, ...], *, reasons: bool) -> None:
    """Print the candidates of a folder that optimize or explore wrote; of several folders, the winners side by side."""
    from optimizer.cli.tables import print_search, print_searches
    from optimizer.search.folder import read_search

    searches = {str(folder): read_search(folder) for folder in folders}
    screen = console()
    if len(searches) > 1:
        print_searches(searches, screen)
    if len(searches) == 1 or reasons:
        for search in searches.values():
            print_search(search, screen, reasons=reasons)


recipe.add_command(show)


@recipe.command(short_help="The passes, their fields and defaults.")
@click.argument("name", required=False)
@click.option("--operators", is_flag=True, help="Only the ONNX operators that export-tflite writes, as Markdown.")
def passes(name: str | None, *, operators: bool) -> None:
    """Print the passes with their fields, defaults and units, or the one that is named."""
    from optimizer.cli.details import print_passes
    from optimizer.formats.tflite_emitter.table import as_markdown
    from optimizer.passes import CATALOG, ExportTflite
    from optimizer.recipe import pass_named

    if operators:
        click.echo(as_markdown(), nl=False)
        return
    print_passes((pass_named(name),) if name else CATALOG, console())
    if name == ExportTflite.name:
        click.echo("\n" + as_markdown(), nl=False)


recipe.add_command(card)
recipe.add_command(pack)
