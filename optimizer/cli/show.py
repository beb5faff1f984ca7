"""``edgeship recipe show``: what an artifact, a model file, a recipe, a lock or a folder of a search says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from optimizer.cli.options import FILE
from optimizer.cli.screen import console, say

if TYPE_CHECKING:
    from rich.console import Console

    from optimizer.search.candidate import Candidate, Search

WINNER: Final = "winner"
"""Names the winner wherever a candidate's name is asked for."""


@click.command(short_help="What a file or folder says of itself.")
@click.argument("path", type=FILE)
@click.option("--recipe", metavar="LABEL", help="Of a folder: print this candidate's recipe as TOML ('winner': its).")
def show(path: Path, *, recipe: str | None) -> None:
    """Print what an artifact, a model, a recipe, a lock or a folder of optimize says of itself."""
    from contracts.artifact import read_artifact_file
    from optimizer.cli.details import print_artifact, print_model
    from optimizer.source import open_model

    if recipe is not None and not path.is_dir():
        raise click.UsageError(f"--recipe names a candidate of a folder, and {path} is none; leave it out")
    if path.is_dir():
        _show_folder(path, recipe)
    elif path.suffix == ".artifact":
        print_artifact(read_artifact_file(path), console())
    elif path.suffix == ".toml":
        _show_toml(path)
    else:
        print_model(open_model(str(path), told=say), console())


def candidate_named(search: Search, label: str) -> Candidate:
    """Return the candidate of that name; ``winner`` names the winner.

    Raises:
        RecipeError: there is none; names all.
    """
    from optimizer.errors import RecipeError
    from optimizer.recipe.toml import nearest

    chosen = search.winner if label == WINNER else next((one for one in search.candidates if one.label == label), None)
    if chosen is None:
        labels = [one.label for one in search.candidates]
        what = "the search has no winner" if label == WINNER else f"there is no candidate {label!r}"
        raise RecipeError(f"{what}{nearest(label, labels)}")
    return chosen


def _show_folder(folder: Path, label: str | None) -> None:
    from optimizer.search.folder import read_search

    search = read_search(folder)
    if label is not None:
        click.echo(_recipe_of(search, folder, candidate_named(search, label)), nl=False)
        return
    _print_folder(search, folder, console())


def _print_folder(search: Search, folder: Path, screen: Console) -> None:
    from rich.markup import escape

    from optimizer.cli.details import print_lineage

    count = len(search.candidates)
    screen.print(
        f"{search.original.name} for {search.target.name}: {count} candidate{'s' * (count != 1)}, "
        f"chosen by {search.objective}",
        highlight=False,
    )
    if search.winner is not None:
        print_lineage(f"winner: {search.winner.label}", search.original.name, search.winner.lineage, screen)
    others = [one.label for one in search.candidates if one is not search.winner]
    if others:
        screen.print(escape("others: " + "; ".join(others)), highlight=False, soft_wrap=True)
    screen.print(
        escape(f"A candidate's recipe: edgeship recipe show {folder} --recipe LABEL"), highlight=False, soft_wrap=True
    )


def _recipe_of(search: Search, folder: Path, candidate: Candidate) -> str:
    """Return the recipe, its paths as seen from here."""
    from optimizer.recipe import Recipe, Subject, dump
    from optimizer.recipe.recipe_file import parse, read_steps
    from optimizer.search.folder import read_subject

    subject = read_subject(folder) or Subject(model=search.original.name, target=search.target.name)
    return dump(Recipe(subject=subject, steps=read_steps(parse(search.recipes[candidate.label]))))


def _show_toml(path: Path) -> None:
    """Print a recipe as it is read; a lock with its facts first, as comments."""
    from optimizer.recipe import dump, load
    from optimizer.search.lock import read_lock
    from optimizer.words import size_in_words

    if not _is_lock(path):
        click.echo(dump(load(path)), nl=False)
        return
    locked = read_lock(path)
    lock = locked.lock
    click.echo(f"# lock of {lock.label}: {size_in_words(lock.size_bytes)}, digest {lock.result}")
    click.echo(f"# written by edgeship {lock.edgeship} with {', '.join((*lock.passes, *lock.tools)) or 'no pass'}")
    click.echo(f"# make it again: edgeship optimize --locked {path} -o FOLDER")
    click.echo(dump(locked.recipe), nl=False)


def _is_lock(path: Path) -> bool:
    """Return whether the file holds a lock; one that is no TOML is left to those who say so."""
    try:
        return "lock" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
