"""What the commands of this package share at the terminal: options, the passphrase, public keys named by people.

A passphrase comes from EDGESHIP_KEY_PASSPHRASE or a prompt and goes nowhere else.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signing.ceremony.pending import Waiting
    from signing.keys import PublicKey
    from signing.repository import Repository

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

repository_option = click.option(
    "--repository",
    "folder",
    type=FOLDER,
    default=Path("release-repository"),
    show_default=True,
    help="Folder of the release repository.",
)
keys_option = click.option(
    "--keys", "keys_folder", type=FOLDER, required=True, help="Folder that 'edgeship keys init' made."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def tell(text: str) -> None:
    """Print one line of which no part came from a file as a command to the terminal."""
    click.echo(printable(text))


def printable(text: str) -> str:
    """Return the text with each character that no terminal shows as itself spelt out, line breaks as well.

    Names and paths come from files of others; an escape sequence among them could rewrite what a signer was shown.
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def ask_passphrase(*, confirm: bool = False) -> str:
    """Return the passphrase of the keys (of a token: the PIN)."""
    given = os.environ.get("EDGESHIP_KEY_PASSPHRASE")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask for the passphrase; set EDGESHIP_KEY_PASSPHRASE")
    answer: str = click.prompt("Passphrase of the keys", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def ask_to_sign(*, yes: bool) -> None:
    """Go on only where a person says so, or said so with --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask whether to sign this; read it, then run it again with --yes")
    click.confirm("Sign all of this?", abort=True, err=True)


def public_keys(given: Sequence[str], *, role: str | None = None) -> dict[str, list[PublicKey]]:
    """Return the public keys that were named with --key, by role.

    A name is FILE (called ROLE.pub.json), ROLE=FILE, or a folder with such files; ``role`` stands for all of them.
    """
    from signing.keys import read_public_key

    found: dict[str, list[PublicKey]] = {}
    for text in given:
        before, equals, after = text.partition("=")
        path = Path(after if equals else text)
        files = sorted(path.glob("*.pub.json")) if path.is_dir() else [path]
        if path.is_dir() and role is not None:
            files = [path / f"{role}.pub.json"]
        if not files:
            raise click.UsageError(f"--key {text}: no *.pub.json in that folder; give the one that the holder sent")
        for file in files:
            named = role or (before if equals else file.name.removesuffix(".pub.json"))
            found.setdefault(named, []).append(read_public_key(file))
    return found


def tell_waiting(waiting: Sequence[Waiting]) -> None:
    """Say what waits, how many signatures are missing and whose would do, and what to type next."""
    from signing.ceremony.words import still_missing

    for one in waiting:
        tell(f"… {still_missing(one)}")
    if any(need.missing for one in waiting for need in one.needs):
        tell("Next: 'edgeship release sign --keys FOLDER' by one of them, here or on a copy of this folder;")
        tell("      a copy comes back with 'edgeship release merge COPY'.")


def open_repository(folder: Path) -> Repository:
    """Return the repository in the folder."""
    from signing.repository import Repository

    return Repository.open(folder)


def now() -> datetime:
    """Return this moment in UTC."""
    return datetime.now(UTC)
