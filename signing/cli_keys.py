"""``edgeship keys``: the keys of people, and which role each of them stands in.

Domain errors propagate; the command line prints them as one sentence and exits 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from signing.terminal import (
    FOLDER,
    ask_passphrase,
    json_option,
    now,
    open_repository,
    public_keys,
    repository_option,
    tell,
    tell_waiting,
)

if TYPE_CHECKING:
    from signing.ceremony.overview import Overview, RoleView
    from signing.keys import PublicKey
    from signing.places import Place

_key = click.option(
    "--key",
    "given",
    multiple=True,
    required=True,
    metavar="PUB",
    help="Public key that takes part: the *.pub.json of its holder, or the folder that has it; may be repeated.",
)
_threshold = click.option("--threshold", type=click.IntRange(min=1), help="How many of the role's keys must sign.")


@click.group()
def keys() -> None:
    """Make the offline keys that sign releases, and say who holds which."""


@keys.command("init")
@click.argument("folder", type=FOLDER)
@click.option("--holder", default="", help="Your name, as other people will read it beside your keys.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    help="root, targets, director-root, or the name of a team; may be repeated.  [default: the first three]",
)
@click.option("--token", help="Use a PKCS#11 token's key: its label; PYKCS11LIB names the token's library.")
@click.option("--token-key", type=int, default=2, show_default=True, help="Number of the key in the token.")
def keys_init(folder: Path, *, holder: str, roles: Sequence[str], token: str | None, token_key: int) -> None:
    """Create your keys in FOLDER. One for each role, all encrypted with one passphrase."""
    from signing.keys import KeyRole, init_keys, parse_offline_role, private_path

    wanted = tuple(parse_offline_role(role) for role in roles) or tuple(KeyRole)
    if token is not None:
        from signing.hardware import enroll_token

        if len(wanted) != 1 or not roles:
            raise click.UsageError("a token's key is for one role; name it with --role")
        enrolled = enroll_token(folder, wanted[0], label=token, number=token_key, holder=holder)
        tell(f"{wanted[0]:<14} {enrolled.words}  in token {token}; nothing secret is in {folder}")
        return
    made = init_keys(folder, ask_passphrase(confirm=True), roles=wanted, holder=holder)
    for role, key in made.items():
        tell(f"{role:<14} {key.keyid[:16]}  {private_path(folder, role)}")
    tell("Copy the folder to two places that are not this machine: a lost key can sign nothing any more.")
    tell("Others need your *.pub.json only; a *.pem and its passphrase stay with you.")


@keys.command("show")
@click.argument("own", type=FOLDER, required=False, metavar="[FOLDER]")
@repository_option
@json_option
def keys_show(own: Path | None, *, folder: Path, as_json: bool) -> None:
    """Show who holds which key. With FOLDER: the public halves of your own keys there."""
    from contracts.codec import to_plain
    from signing.ceremony.overview import overview

    if own is not None:
        _show_own(own, as_json=as_json)
        return
    view = overview(open_repository(folder))
    if as_json:
        click.echo(json.dumps(to_plain(view), indent=2))
        return
    _show_roles(view)


@keys.command("add")
@click.argument("role")
@_key
@_threshold
@repository_option
def keys_add(role: str, *, given: Sequence[str], threshold: int | None, folder: Path) -> None:
    """Add keys to ROLE (root, targets, director-root or a team)."""
    from signing.ceremony.changes import change_keys

    place, _ = change_keys(open_repository(folder), role, add=_keys_for(role, given), threshold=threshold, now=now())
    _tell_staged(folder, place)


@keys.command("rotate")
@click.argument("role")
@click.argument("old", required=False)
@_key
@repository_option
def keys_rotate(role: str, *, old: str | None, given: Sequence[str], folder: Path) -> None:
    """Put new keys in the place of old ones.

    ROLE is root, targets, director-root, a team, or the server's online or director; OLD is a holder's name, a keyid or
    its start.
    """
    from signing.ceremony.changes import change_keys
    from signing.ceremony.overview import overview

    repository = open_repository(folder)
    there = next((view.keys for view in overview(repository).roles if view.role == role), ())
    if old is None and len(there) > 1:
        raise click.UsageError(
            f"{role} has {len(there)} keys; name the old one: {', '.join(key.words for key in there)}"
        )
    remove = (old,) if old is not None else tuple(key.keyid for key in there)
    place, gone = change_keys(repository, role, add=_keys_for(role, given), remove=remove, now=now())
    _tell_staged(folder, place, gone)


@keys.command("revoke")
@click.argument("role")
@click.argument("old", nargs=-1, required=True, metavar="KEY...")
@_threshold
@repository_option
def keys_revoke(role: str, *, old: Sequence[str], threshold: int | None, folder: Path) -> None:
    """Take keys from ROLE. A KEY is a holder's name, a keyid or its start; what it signed has to be signed again."""
    from signing.ceremony.changes import change_keys

    place, gone = change_keys(open_repository(folder), role, remove=old, threshold=threshold, now=now())
    _tell_staged(folder, place, gone)


@keys.command("delegate")
@click.argument("team")
@click.option("--model", "models", multiple=True, required=True, help="Model that the team releases; may be repeated.")
@click.option("--key", "given", multiple=True, metavar="PUB", help="Public key of the team; may be repeated.")
@click.option(
    "--threshold", type=click.IntRange(min=1), default=1, show_default=True, help="How many of them must sign."
)
@repository_option
def keys_delegate(team: str, *, models: Sequence[str], given: Sequence[str], threshold: int, folder: Path) -> None:
    """Let TEAM release models with keys of its own. A team that exists gets the models in addition."""
    from contracts.errors import InvalidId
    from contracts.ids import parse_model_name
    from signing.ceremony.changes import delegate

    try:
        named = [parse_model_name(model) for model in models]
    except InvalidId as error:
        raise click.UsageError(str(error)) from error
    place, moved = delegate(
        open_repository(folder), team, models=named, keys=_keys_for(team, given), threshold=threshold, now=now()
    )
    for release in moved:
        tell(f"→ {release} moves to {team}, whose keys have to sign it")
    _tell_staged(folder, place)


@keys.command("renew")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Lifetime of both roots.")
@repository_option
def keys_renew(*, days: int, folder: Path) -> None:
    """Let both roots live on. The keys stay the same; 'edgeship release sign --renew' does so for listings."""
    from datetime import timedelta

    from signing.ceremony.changes import renew_roots

    for place in renew_roots(open_repository(folder), now=now(), lifetime=timedelta(days=days)):
        _tell_staged(folder, place)


@keys.command("drill")
@repository_option
@click.option(
    "--keys", "key_folders", type=FOLDER, multiple=True, help="Keys at hand: are they enough? May be repeated."
)
@json_option
def keys_drill(*, folder: Path, key_folders: Sequence[Path], as_json: bool) -> None:
    """Rehearse what a loss would cost. On a throw-away copy, with keys of its own.

    Exit status 1 where the loss of a single key could not be mended.
    """
    from contracts.codec import to_plain
    from signing.ceremony.drill import at_hand, drill
    from signing.ceremony.gathering import open_signers
    from signing.keys import held_keys

    repository = open_repository(folder)
    findings = drill(repository, now=now())
    if key_folders:
        held = {place: frozenset(key.keyid for key in held_keys(place).values()) for place in key_folders}
        opened = {keyid for place in key_folders for keyid in open_signers(place, ask_passphrase(), keyids=held[place])}
        findings += at_hand(repository, opened)
    if as_json:
        click.echo(json.dumps(to_plain(findings), indent=2))
    for one in () if as_json else findings:
        mark = "✓" if one.works else "✗"
        tell(f"{mark} {one.role:<14} {one.what:<26} {one.sentence}")
    if any(one.fatal for one in findings):
        raise click.exceptions.Exit(1)


def _keys_for(role: str, given: Sequence[str]) -> list[PublicKey]:
    return [key for found in public_keys(given, role=role).values() for key in found]


def _tell_staged(folder: Path, place: Place, gone: Sequence[PublicKey] = ()) -> None:
    from signing.ceremony.pending import waiting

    for key in gone:
        tell(f"→ {key.words} goes")
    tell_waiting([one for one in waiting(open_repository(folder)) if one.place == place])


def _show_own(folder: Path, *, as_json: bool) -> None:
    from contracts.codec import to_plain
    from signing.keys import held_keys

    found = held_keys(folder)
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2))
        return
    for role, key in found.items():
        tell(f"{role:<14} {key.keyid}  {key.holder}".rstrip())


def _show_roles(view: Overview) -> None:
    for role in view.roles:
        tell(_role_line(role))
        for key in role.keys:
            tell(f"    {key.keyid[:10]}  {key.holder or '-'}")
    tell_waiting(view.waiting)


def _role_line(role: RoleView) -> str:
    words = [f"{role.role:<14} {role.threshold} of {len(role.keys)}"]
    if role.models:
        words.append(f"models {', '.join(role.models)}")
    if role.version is not None and role.expires_at is not None:
        words.append(f"version {role.version} until {role.expires_at:%Y-%m-%d}")
    if not role.in_force:
        words.append("not in force yet")
    return "  ".join(words)
