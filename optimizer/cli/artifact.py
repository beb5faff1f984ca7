"""``edgeship artifact``: what an artifact file says of itself, and whether that holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.options import FILE
from optimizer.cli.screen import console, say
from optimizer.cli.sections import StoryGroup

if TYPE_CHECKING:
    from contracts.artifact import Artifact
    from contracts.codec import Plain

MEMBERS = ("card", "bom", "api", "golden")


@click.group(cls=StoryGroup)
def artifact() -> None:
    """Read and verify artifact files."""


@artifact.command(short_help="What an artifact says of itself.")
@click.argument("file", type=FILE)
@click.option("--member", type=click.Choice(MEMBERS), help="Print one member whole, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest and the list of members as JSON.")
def show(file: Path, *, member: str | None, as_json: bool) -> None:
    """Print what an artifact says of itself: tensors, steps, measurements, card, lineage, members."""
    from contracts.artifact import read_artifact_file
    from optimizer.cli.details import print_artifact
    from optimizer.packing.account import account_of

    found = read_artifact_file(file)
    if member is not None:
        click.echo(_member(found, member, file), nl=False)
    elif as_json:
        click.echo(_json(account_of(found)), nl=False)
    else:
        print_artifact(found, console())


@artifact.command(short_help="Whether an artifact is whole and gives its recorded answers.")
@click.argument("file", type=FILE)
@click.option("--no-run", is_flag=True, help="Read it only: a model from a stranger may crash the runtime.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def verify(file: Path, *, no_run: bool, as_json: bool) -> None:
    """Check an artifact's bytes, names, documents and recorded answers; it exits with 1 where one does not hold.

    Who signed it is checked by 'edgeship release verify'.
    """
    from optimizer.packing.account import checked

    result = checked(file, run=not no_run)
    if as_json:
        click.echo(_json({"file": str(file), **result}), nl=False)
        return
    for what, words in result.items():
        click.echo(f"{what:<12}{words!s}")
    if no_run:
        say("the model was not run; leave --no-run out to have its recorded answers checked here")


def _member(found: Artifact, name: str, file: Path) -> str:
    from contracts.artifact.documents import read_json
    from contracts.errors import ArtifactError
    from optimizer.packing.account import golden_of

    if name == "golden":
        return _json(golden_of(found))
    data = found.members.get(name)
    if data is None:
        raise ArtifactError(
            f"{file} has no {name} (schema {found.manifest.schema}); pack it again with this edgeship to add one"
        )
    return _json(read_json(data))


def _json(plain: Plain) -> str:
    """Return JSON of ASCII alone: no character in it commands a terminal."""
    return json.dumps(plain, sort_keys=True, indent=1) + "\n"
