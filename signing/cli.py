"""``edgeship keys`` and ``edgeship release``: what a release engineer types.

Domain errors propagate; the command line prints them as one sentence and exits 1. A passphrase comes
from EDGESHIP_KEY_PASSPHRASE or a prompt and goes nowhere else.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contracts.chunks import DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contracts.release import Release
    from signing.publish import UploadProgress

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

_repository = click.option(
    "--repository",
    "folder",
    type=_FOLDER,
    default=Path("release-repository"),
    show_default=True,
    help="Folder of the release repository.",
)
_keys = click.option(
    "--keys", "keys_folder", type=_FOLDER, required=True, help="Folder that 'edgeship keys init' made."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group()
def keys() -> None:
    """Make and show the offline keys that sign releases."""


@keys.command("init")
@click.argument("folder", type=_FOLDER)
def keys_init(folder: Path) -> None:
    """Create the root key and the targets key in FOLDER, encrypted with one passphrase."""
    from signing.keys import init_keys, private_path

    made = init_keys(folder, _passphrase(confirm=True))
    for role, key in made.items():
        click.echo(f"{role:<8} {key.keyid[:16]}  {private_path(folder, role)}")
    click.echo("Copy the folder to two places that are not this machine: without these keys no release can be signed.")


@keys.command("show")
@click.argument("folder", type=_FOLDER)
@_json
def keys_show(folder: Path, *, as_json: bool) -> None:
    """Show the public halves of the keys in FOLDER."""
    from contracts.codec import to_plain
    from signing.keys import KeyRole, public_path, read_public_key

    found = {role: read_public_key(public_path(folder, role)) for role in KeyRole}
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2))
        return
    for role, key in found.items():
        click.echo(f"{role:<8} {key.keyid}")


@click.group()
def release() -> None:
    """Draft, sign, check and publish releases."""


@release.command("init")
@_repository
@_keys
@click.option("--online", type=_FILE, required=True, help="online.pub.json that 'edgeship server init' wrote.")
@click.option("--root-days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Lifetime of root.")
def release_init(folder: Path, *, keys_folder: Path, online: Path, root_days: int) -> None:
    """Create a release repository: sign the first root metadata."""
    from signing.keys import KeyRole, read_public_key, require_key
    from signing.repository import Repository

    require_key(keys_folder, KeyRole.ROOT)
    repository = Repository.create(
        folder,
        keys_folder,
        passphrase=_passphrase(),
        online=read_public_key(online),
        now=_now(),
        lifetime=timedelta(days=root_days),
    )
    click.echo(f"Created {folder}. Root is good for {root_days} days.")
    click.echo(f"Next: on the server, run 'edgeship server trust --data FOLDER {repository.root_path}' once.")


@release.command("draft")
@click.argument("artifacts", type=_FILE, nargs=-1, required=True, metavar="ARTIFACT...")
@_repository
@click.option(
    "--chunk-bytes",
    type=click.IntRange(256, MAX_CHUNK_BYTES),
    default=DEFAULT_CHUNK_BYTES,
    show_default=True,
    help="How the artifact is cut for its way over MQTT.",
)
def release_draft(artifacts: Sequence[Path], *, folder: Path, chunk_bytes: int) -> None:
    """Add artifacts to what will be signed next. Needs no key."""
    from signing.repository import Repository

    repository = Repository.open(folder)
    for path in artifacts:
        drafted = repository.draft(path, chunk_bytes=chunk_bytes)
        click.echo(f"drafted {drafted.custom.release} for {drafted.profile}, {_size(drafted.length)}")
    click.echo("Not signed yet. Next: edgeship release sign --keys FOLDER")


@release.command("sign")
@_repository
@_keys
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="Lifetime of the signature.")
@click.option("--renew", is_flag=True, help="Sign the same releases again where nothing is drafted.")
def release_sign(folder: Path, *, keys_folder: Path, days: int, renew: bool) -> None:
    """Sign what is drafted with the targets key."""
    from signing.keys import KeyRole, require_key
    from signing.repository import Repository

    repository = Repository.open(folder)
    require_key(keys_folder, KeyRole.TARGETS)
    signed = repository.sign(
        keys_folder, passphrase=_passphrase(), now=_now(), lifetime=timedelta(days=days), renew=renew
    )
    for one in signed:
        click.echo(f"✓ signed {one.id}, counter {one.counter}, for {_profiles(one)}")
    version = repository.targets().signed.version
    click.echo(f"Targets version {version}, good for {days} days. Next: edgeship release publish --server URL")


@release.command("verify")
@_repository
def release_verify(folder: Path) -> None:
    """Check every signature, digest and manifest in the repository."""
    from signing.repository import Repository

    repository = Repository.open(folder)
    verified = repository.verify(_now())
    artifacts = sum(len(one.artifacts) for one in verified.releases)
    click.echo(f"✓ root version {verified.root_version}, until {verified.root_expires_at:%Y-%m-%d}")
    click.echo(f"✓ targets version {verified.targets_version}, until {verified.targets_expires_at:%Y-%m-%d}")
    click.echo(f"✓ releases {len(verified.releases)}, artifacts {artifacts}: signatures, digests and manifests hold")
    _mention_draft(len(repository.drafted()))


@release.command("publish")
@_repository
@click.option("--server", envvar="EDGESHIP_SERVER", help="Address of the fleet server, http://HOST:PORT.")
@click.option("--token-file", type=_FILE, envvar="EDGESHIP_TOKEN_FILE", help="File with the API token.")
def release_publish(folder: Path, *, server: str | None, token_file: Path | None) -> None:
    """Bring what is signed to the fleet server. Drafts stay here."""
    from signing.publish import publish
    from signing.repository import Repository
    from signing.session import connect

    repository = Repository.open(folder)
    connection = connect(server=server, token_file=token_file, home=Path.home())
    published = publish(repository, connection, now=_now(), progress=_progress())
    for one in published.releases:
        click.echo(f"✓ published {one}")
    if not published.releases:
        click.echo("The server had every release already.")
    click.echo(f"Sent artifacts {published.artifacts_sent}, {_size(published.bytes_sent)}.")
    _mention_draft(len(repository.drafted()))


@release.command("show")
@_repository
@_json
def release_show(folder: Path, *, as_json: bool) -> None:
    """Show what is signed and what is drafted, without checking it."""
    from contracts.codec import to_plain
    from signing.metadata import releases_of
    from signing.repository import Repository

    repository = Repository.open(folder)
    signed, drafted = repository.releases(), releases_of(repository.drafted())
    if as_json:
        click.echo(json.dumps({"signed": to_plain(signed), "drafted": to_plain(drafted)}, indent=2))
        return
    for word, listed in (("signed", signed), ("drafted", drafted)):
        for one in listed:
            size = _size(sum(artifact.length for artifact in one.artifacts))
            click.echo(f"{word:<8} {one.id:<28} counter {one.counter:<4} {size:>9}  {_profiles(one)}")
    if not signed and not drafted:
        click.echo("Nothing yet. Next: edgeship release draft ARTIFACT")


def _passphrase(*, confirm: bool = False) -> str:
    given = os.environ.get("EDGESHIP_KEY_PASSPHRASE")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask for the passphrase; set EDGESHIP_KEY_PASSPHRASE")
    answer: str = click.prompt("Passphrase of the keys", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _progress() -> Callable[[UploadProgress], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(progress: UploadProgress) -> None:
        percent = 100 * progress.sent_bytes // max(progress.total_bytes, 1)
        click.echo(f"\r↓ {percent:3d} %  {progress.path}\x1b[K", nl=percent == 100, err=True)

    return show


def _mention_draft(count: int) -> None:
    if count:
        click.echo(f"Drafted and not signed: {count}. Next: edgeship release sign --keys FOLDER")


def _profiles(one: Release) -> str:
    return ", ".join(artifact.profile for artifact in one.artifacts)


def _size(length: int) -> str:
    return f"{length / 1e6:.2f} MB" if length >= 1_000_000 else f"{length / 1e3:.1f} kB"


def _now() -> datetime:
    return datetime.now(UTC)
