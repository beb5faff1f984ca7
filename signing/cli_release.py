"""``edgeship release``: from a packed artifact to a published release, by one person or by several.

Domain errors propagate; the command line prints them as one sentence and exits 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contracts.chunks import DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES
from signing.terminal import (
    FILE,
    FOLDER,
    ask_passphrase,
    ask_to_sign,
    json_option,
    keys_option,
    now,
    open_repository,
    printable,
    public_keys,
    repository_option,
    tell,
    tell_waiting,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from contracts.release import Release
    from signing.ceremony.gathering import Proposal
    from signing.ceremony.pending import Waiting
    from signing.keys import PublicKey
    from signing.publish import UploadProgress
    from signing.repository import Repository
    from signing.verification import Verified


@click.group()
def release() -> None:
    """Draft, sign, check and publish releases."""


@release.command("init")
@repository_option
@keys_option
@click.option("--online", type=FILE, required=True, help="online.pub.json that 'edgeship server init' wrote.")
@click.option("--director", type=FILE, required=True, help="director.pub.json that 'edgeship server init' wrote.")
@click.option(
    "--key",
    "given",
    multiple=True,
    metavar="PUB",
    help="Other people's public keys: a folder with their ROLE.pub.json, or one such file; may be repeated.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="ROLE=N",
    help="How many must sign for root, targets or director-root; may be repeated.  [default: 1 each]",
)
@click.option(
    "--root-days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Lifetime of the roots."
)
def release_init(
    folder: Path,
    *,
    keys_folder: Path,
    online: Path,
    director: Path,
    given: Sequence[str],
    thresholds: Sequence[str],
    root_days: int,
) -> None:
    """Create a release repository. Signs its first two roots, of the models and of the director."""
    from signing.ceremony.founding import Founding, found
    from signing.ceremony.gathering import open_signers
    from signing.ceremony.pending import waiting
    from signing.keys import held_keys, read_public_key
    from signing.repository import Repository

    keys = _gathered(held_keys(keys_folder), public_keys(given))
    server = {"online": (read_public_key(online),), "director": (read_public_key(director),)}
    founding = Founding(keys={**keys, **server}, thresholds=_thresholds(thresholds))
    signers = open_signers(keys_folder, ask_passphrase(), keyids=founding.root_keyids)
    lifetime = timedelta(days=root_days)
    repository = found(Repository(folder=folder), founding, signers=signers, now=now(), lifetime=lifetime)
    tell(f"Created {folder}. Its roots are good for {root_days} days.")
    tell_waiting(waiting(repository))
    tell(
        f"{'Then' if waiting(repository) else 'Next'}: on the server, run 'edgeship server trust --data FOLDER "
        f"{repository.root_path} {repository.director_root_path}' once."
    )


@release.command("draft")
@click.argument("artifacts", type=FILE, nargs=-1, required=True, metavar="ARTIFACT...")
@repository_option
@click.option(
    "--chunk-bytes",
    type=click.IntRange(256, MAX_CHUNK_BYTES),
    default=DEFAULT_CHUNK_BYTES,
    show_default=True,
    help="Average size of the chunks in which the artifact travels over MQTT.",
)
def release_draft(artifacts: Sequence[Path], *, folder: Path, chunk_bytes: int) -> None:
    """Add artifacts to what will be signed next. Needs no key."""
    from signing.ceremony.words import size

    repository = open_repository(folder)
    for path in artifacts:
        drafted = repository.draft(path, chunk_bytes=chunk_bytes)
        tell(f"drafted {drafted.custom.release} for {drafted.profile}, {size(drafted.length)}")
    tell("Not signed yet. Next: edgeship release sign --keys FOLDER")


@release.command("sign")
@repository_option
@keys_option
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="Lifetime of new listings.")
@click.option("--renew", is_flag=True, help="Sign listings again where nothing is drafted, for a new lifetime.")
@click.option(
    "--above",
    type=click.IntRange(min=0),
    default=0,
    help="Number new listings above this version, up to which somebody has published with a stolen key.",
)
@click.option("--yes", is_flag=True, help="Do not ask; sign what is shown.")
def release_sign(folder: Path, *, keys_folder: Path, days: int, renew: bool, above: int, yes: bool) -> None:
    """Show what waits for you, then sign it. Releases, keys and teams alike."""
    from signing.ceremony.gathering import open_signers, propose, sign
    from signing.ceremony.pending import waiting
    from signing.ceremony.words import changes, headline
    from signing.keys import held_keys

    repository = open_repository(folder)
    held = {key.keyid: key for key in held_keys(keys_folder).values()}
    lifetime = timedelta(days=days)
    proposals = propose(repository, set(held), now=now(), lifetime=lifetime, renew=renew, above=above)
    for proposal in proposals:
        tell(headline(proposal))
        for line in changes(proposal):
            tell(f"  {line}")
    ask_to_sign(yes=yes)
    keyids = frozenset(keyid for proposal in proposals for keyid in proposal.keyids)
    signers = open_signers(keys_folder, ask_passphrase(), keyids=keyids)
    before = {one.id for one in repository.releases()}
    sign(repository, proposals, signers)
    _tell_signed(repository, proposals, held, before=before)
    tell_waiting(waiting(repository))


@release.command("merge")
@click.argument("copy", type=FOLDER)
@repository_option
def release_merge(copy: Path, *, folder: Path) -> None:
    """Bring in what was signed in COPY. That is a copy of the repository's folder; needs no key."""
    from signing.ceremony.merging import merge
    from signing.ceremony.pending import waiting

    repository = open_repository(folder)
    merged = merge(repository, open_repository(copy))
    for role, words in merged.signatures:
        tell(f"✓ {role}: signature of {words}")
    for path in merged.drafts:
        tell(f"✓ draft of {path}")
    for role in merged.in_force:
        tell(f"✓ {role} is in force as the copy has it")
    for role in merged.unsigned:
        tell(
            f"→ {role} as the copy proposes it waits here; nobody has signed it, 'edgeship release sign' shows it first"
        )
    if not (merged.signatures or merged.drafts or merged.in_force or merged.unsigned):
        tell("The copy has nothing that is not here.")
    tell_waiting(waiting(repository))


@release.command("verify")
@repository_option
def release_verify(folder: Path) -> None:
    """Check everything in the repository. Each signature, threshold, delegation, floor, digest and manifest."""
    repository = open_repository(folder)
    verified = repository.verify(now())
    tell(f"✓ root version {verified.root_version}, until {verified.root_expires_at:%Y-%m-%d}")
    tell(
        f"✓ director-root version {verified.director_root_version}, until {verified.director_root_expires_at:%Y-%m-%d}"
    )
    tell(f"✓ targets version {verified.targets_version}, until {verified.targets_expires_at:%Y-%m-%d}")
    _tell_teams(verified)
    for model, floor in verified.floors.items():
        tell(f"✓ floor of {model}: counter {floor}")
    artifacts = sum(len(one.artifacts) for one in verified.releases)
    tell(f"✓ releases {len(verified.releases)}, artifacts {artifacts}: signatures, digests and manifests hold")
    _mention_rest(repository, verified.waiting)


@release.command("publish")
@repository_option
@click.option("--server", envvar="EDGESHIP_SERVER", help="Address of the fleet server, http://HOST:PORT.")
@click.option("--token-file", type=FILE, envvar="EDGESHIP_TOKEN_FILE", help="File with the API token.")
def release_publish(folder: Path, *, server: str | None, token_file: Path | None) -> None:
    """Bring what is signed to the fleet server. Drafts, and what waits for signatures, stay here."""
    from signing.ceremony.pending import waiting
    from signing.ceremony.words import size
    from signing.publish import publish
    from signing.session import connect

    repository = open_repository(folder)
    connection = connect(server=server, token_file=token_file, home=Path.home())
    published = publish(repository, connection, now=now(), progress=_progress())
    for one in published.releases:
        tell(f"✓ published {one}")
    for one in published.taken_back:
        tell(f"✓ taken back {one}")
    if not published.releases:
        tell("The server had every release already.")
    for waits, team in published.waiting_for_team:
        tell(f"✗ {waits} is offered no more until {team} has signed it and that is published")
    for team in published.teams_left_out:
        tell(f"✗ {team} has expired and stays here; its people run 'edgeship release sign --renew'")
    tell(
        f"Sent artifacts {published.artifacts_sent}, {size(published.bytes_sent)}; the server has root version "
        f"{published.root_version}, director-root version {published.director_root_version}, targets version "
        f"{published.targets_version}."
    )
    _mention_rest(repository, waiting(repository))


@release.command("revoke")
@click.argument("release_name", metavar="MODEL@VERSION")
@click.option("--and-older", is_flag=True, help="Older ones too, for good: no device installs them any more.")
@repository_option
def release_revoke(release_name: str, *, and_older: bool, folder: Path) -> None:
    """Take a release back. Devices install it no more, and keep running what they run."""
    from contracts.errors import InvalidId
    from contracts.ids import parse_release_id
    from signing.ceremony.changes import revoke_release
    from signing.ceremony.pending import waiting

    try:
        named = parse_release_id(release_name)
    except InvalidId as error:
        raise click.UsageError(str(error)) from error
    repository = open_repository(folder)
    place = revoke_release(repository, named, and_older=and_older, now=now())
    tell(f"→ {named}{' and what is older' if and_older else ''} will go out of {place.name} once that is signed")
    tell_waiting([one for one in waiting(repository) if one.place == place])


@release.command("withdraw")
@click.argument("role")
@repository_option
def release_withdraw(role: str, *, folder: Path) -> None:
    """Take back what waits in ROLE. That is root, director-root, targets or a team."""
    from signing.ceremony.changes import withdraw

    place = withdraw(open_repository(folder), role)
    tell(f"Withdrawn: {place.name}. What was drafted in it is a draft again.")
    tell("Signatures on copies elsewhere stay good for what they signed: have those copies deleted.")


@release.command("show")
@repository_option
@json_option
def release_show(folder: Path, *, as_json: bool) -> None:
    """Show what is signed and what waits. Checks nothing."""
    from contracts.codec import to_plain
    from signing.ceremony.pending import waiting
    from signing.ceremony.words import size
    from signing.metadata import releases_of

    repository = open_repository(folder)
    signed, drafted, pending = repository.releases(), releases_of(repository.drafted()), waiting(repository)
    if as_json:
        view = {"signed": to_plain(signed), "drafted": to_plain(drafted), "waiting": to_plain(pending)}
        click.echo(json.dumps(view, indent=2))
        return
    for word, listed in (("signed", signed), ("drafted", drafted)):
        for one in listed:
            length = size(sum(artifact.length for artifact in one.artifacts))
            tell(f"{word:<8} {one.id:<28} counter {one.counter:<4} {length:>9}  {_profiles(one)}")
    tell_waiting(pending)
    if not signed and not drafted and not pending:
        tell("Nothing yet. Next: edgeship release draft ARTIFACT")


def _gathered(
    own: Mapping[str, PublicKey], others: Mapping[str, Sequence[PublicKey]]
) -> dict[str, tuple[PublicKey, ...]]:
    """Return the keys of each role of the first roots; a key that is named twice counts once."""
    from signing.keys import KeyRole

    found = {role: {own[role].keyid: own[role]} if role in own else {} for role in KeyRole}
    for role in KeyRole:
        found[role].update({key.keyid: key for key in others.get(role, ())})
    return {role: tuple(keys.values()) for role, keys in found.items()}


def _thresholds(given: Sequence[str]) -> dict[str, int]:
    from signing.keys import KeyRole

    found = {}
    for text in given:
        role, _, number = text.partition("=")
        if role not in set(KeyRole) or not number.isdecimal():
            raise click.UsageError(f"--threshold {text!r}: write ROLE=N, as in root=2; roles: {', '.join(KeyRole)}")
        found[role] = int(number)
    return found


def _tell_signed(
    repository: Repository, proposals: Sequence[Proposal], held: Mapping[str, PublicKey], *, before: AbstractSet[str]
) -> None:
    from signing.ceremony.pending import waiting

    open_places = {one.place for one in waiting(repository)}
    for proposal in proposals:
        words = ", ".join(held[keyid].words for keyid in proposal.keyids)
        state = "waits for more" if proposal.place in open_places else "in force"
        tell(f"✓ {proposal.place.name} version {proposal.metadata.signed.version} signed by {words}: {state}")
    for one in repository.releases():
        if one.id not in before:
            tell(f"✓ signed {one.id}, counter {one.counter}, for {_profiles(one)}")
    if not open_places:
        tell("All is signed. Next: edgeship release publish --server URL")


def _tell_teams(verified: Verified) -> None:
    for team in verified.teams:
        until = f"until {team.expires_at:%Y-%m-%d}"
        if team.expired:
            until = f"expired on {team.expires_at:%Y-%m-%d}; run 'edgeship release sign --renew' with its keys"
        tell(f"{'✗' if team.expired else '✓'} team {team.name} version {team.version}, {until}")


def _mention_rest(repository: Repository, pending: Sequence[Waiting]) -> None:
    tell_waiting(pending)
    count = len(repository.drafted())
    if count:
        tell(f"Drafted and not signed: {count}. Next: edgeship release sign --keys FOLDER")


def _progress() -> Callable[[UploadProgress], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(progress: UploadProgress) -> None:
        percent = 100 * progress.sent_bytes // max(progress.total_bytes, 1)
        click.echo(f"\r↓ {percent:3d} %  {printable(progress.path)}\x1b[K", nl=percent == 100, err=True)

    return show


def _profiles(one: Release) -> str:
    return ", ".join(artifact.profile for artifact in one.artifacts)
