"""Propose, sign, put into force.

``propose`` makes the exact bytes that a person's keys may sign now; ``sign`` signs those bytes and no others, and
stores them at once; ``settle`` puts into force what has enough signatures. The first signature closes a file: whoever
signs after it signs the same bytes, and what is drafted meanwhile waits for the next version.

Killed anywhere, the repository is left as it was or one step further; ``settle``, with which every command that writes
begins, takes the rest.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signing.ceremony.pending import named_keys, standing_delegators, waiting, waiting_for
from signing.ceremony.plainness import check_plain
from signing.ceremony.roles import keys_of, named_roles
from signing.draft import Draft, admit, write_draft
from signing.durable_file import write_durably
from signing.errors import NothingDrafted, RepositoryDamaged, TokenUnusable, WrongKey
from signing.keys import held_keys, load_signer
from signing.metadata import as_listing, as_root, owner_of, target_file, whole_seconds
from signing.places import MODELS_ROOT, TARGETS, Place
from signing.verification import check_artifact, check_signed_by, check_waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime, timedelta
    from pathlib import Path

    from securesystemslib.signer import Signer

    from contracts.release import ReleasedArtifact
    from signing.keys import PublicKey
    from signing.metadata import Signed
    from signing.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a person may sign: the metadata, what is in force ``before`` it, and which of the person's keys sign."""

    place: Place
    metadata: Signed
    before: Signed | None
    keyids: tuple[str, ...]


def propose(
    repository: Repository,
    held: AbstractSet[str],
    *,
    now: datetime,
    lifetime: timedelta,
    renew: bool = False,
    above: int = 0,
) -> tuple[Proposal, ...]:
    """Return what the keys ``held`` may sign and have not signed yet, those files that others rest on first.

    A listing that nobody has signed yet takes in what is drafted for it, and ``lifetime``; ``renew`` makes new
    versions of listings, also where nothing changes. New listings get versions higher than ``above``.

    Raises:
        NothingDrafted: nothing waits for these keys.
        WrongKey: something waits, and names none of them.
        RepositoryDamaged: a drafted artifact is not what was drafted, or what waits says something that is not shown.
    """
    settle(repository)
    check_waiting(repository)
    expires = whole_seconds(now) + lifetime
    signable, others = [], []
    for place in repository.places():
        metadata = _next(repository, place, expires=expires, renew=renew)
        if metadata is None:
            continue
        if place.role != "root" and not metadata.signatures:
            metadata.signed.version = max(metadata.signed.version, above + 1)
        named = set(named_keys(repository, place, metadata)) & held
        keyids = tuple(sorted(named - set(metadata.signatures)))
        if keyids:
            check_plain(place, metadata, repository.pending_path(place))
            before = repository.installed(place)
            signable.append(Proposal(place=place, metadata=metadata, before=before, keyids=keyids))
        elif repository.pending(place) or not renew:
            others.append((place, bool(named)))
    if not signable:
        _refuse_nothing(repository, others)
    return tuple(signable)


def open_signers(folder: Path, passphrase: str, *, keyids: AbstractSet[str]) -> dict[str, Signer]:
    """Return the signers of those of the folder's keys, by keyid.

    Raises:
        SigningKeyError: a key does not open, or its two halves are not one key.
    """
    held = held_keys(folder)
    return {key.keyid: load_signer(folder, role, passphrase) for role, key in held.items() if key.keyid in keyids}


def sign(repository: Repository, proposals: Iterable[Proposal], signers: Mapping[str, Signer]) -> tuple[Place, ...]:
    """Sign the proposals, store the signatures, and return the places where something came into force.

    Raises:
        TokenUnusable: a PKCS#11 token does not sign.
    """
    from tuf.api.exceptions import UnsignedMetadataError

    for proposal in proposals:
        for keyid in proposal.keyids:
            try:
                proposal.metadata.sign(signers[keyid], append=True)
            except UnsignedMetadataError as error:
                reason = repr(error.__cause__ or error)
                raise TokenUnusable(
                    f"key {keyid[:10]} did not sign {proposal.place.name} ({reason}): is the token plugged in, and the "
                    "PIN right? EDGESHIP_KEY_PASSPHRASE is taken as the PIN"
                ) from error
        store_pending(repository, proposal.place, proposal.metadata)
    return settle(repository)


def store_pending(repository: Repository, place: Place, metadata: Signed) -> None:
    """Make the metadata what waits for signatures at that place."""
    path = repository.pending_path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, metadata.to_bytes())


def settle(repository: Repository) -> tuple[Place, ...]:
    """Put into force what has enough signatures, and return where; finish what a killed command left.

    Raises:
        RepositoryDamaged: what is to be replaced was not signed as it should be.
    """
    done = []
    for place in repository.places():
        metadata = repository.pending(place)
        if metadata is not None and _is_past(repository, place, metadata):
            repository.pending_path(place).unlink()
        elif metadata is not None and waiting_for(repository, place, metadata).complete:
            _install(repository, place, metadata)
            done.append(place)
    write_draft(repository.draft_path, Draft(artifacts=repository.drafted()))
    return tuple(done)


def next_version(repository: Repository, place: Place) -> Signed:
    """Return the metadata that follow what is in force: one version on, without signatures; else an empty listing."""
    from tuf.api.metadata import Metadata, Targets

    before = repository.installed(place)
    if before is None:
        return Metadata(Targets(version=1))
    metadata = copy.deepcopy(before)
    metadata.signed.version += 1
    metadata.signatures.clear()
    return metadata


def _next(repository: Repository, place: Place, *, expires: datetime, renew: bool) -> Signed | None:
    """Return what waits at the place, made ready to be signed where nobody has signed it; None where nothing does."""
    metadata = repository.pending(place)
    if place.role == "root" or (metadata is not None and metadata.signatures):
        return metadata
    drafted = _drafted_for(repository, place)
    if metadata is None:
        if not drafted and not (renew and repository.installed(place)):
            return None
        metadata = next_version(repository, place)
    listing = as_listing(metadata)
    listing.expires = expires
    for artifact in drafted:
        listing.targets[artifact.path] = target_file(artifact)
    return metadata


def _drafted_for(repository: Repository, place: Place) -> Sequence[ReleasedArtifact]:
    top, floors = repository.newest_targets(TARGETS), repository.floors()
    draft = Draft()
    for artifact in sorted(repository.drafted(), key=lambda one: one.custom.counter):
        check_artifact(repository, artifact)
        draft = admit(artifact, draft, repository.listed(), floors=floors)
    return [one for one in draft.artifacts if owner_of(one.path.partition("/")[0], top) == place.role]


def _refuse_nothing(repository: Repository, others: Sequence[tuple[Place, bool]]) -> None:
    if not others:
        raise NothingDrafted("nothing is drafted; add artifacts with 'edgeship release draft ARTIFACT'")
    names = ", ".join(place.name for place, _ in others)
    if not any(signed for _, signed in others):
        raise WrongKey(
            f"these keys cannot sign what waits ({names}): it does not name them; sign with keys that "
            f"'edgeship keys show' lists for {names}"
        )
    missing = [need for one in waiting(repository) for need in one.needs if need.missing]
    who = ", ".join(dict.fromkeys(key.words for need in missing for key in need.open))
    raise NothingDrafted(f"these keys have signed {names} already; it waits for {who}")


def _is_past(repository: Repository, place: Place, metadata: Signed) -> bool:
    """Return whether what waits is in force already, or was overtaken before anybody signed it."""
    installed = repository.installed(place)
    if installed is None or metadata.signed.version > installed.signed.version:
        return False
    return metadata.signed_bytes == installed.signed_bytes or not metadata.signatures


def _install(repository: Repository, place: Place, metadata: Signed) -> None:
    """Put the metadata into force: first what rests on them is taken back where it no longer would hold."""
    for dependent in _dependents(repository, place):
        _ask_again_unless_held(repository, dependent, metadata)
        _drop_signatures_of_former_keys(repository, dependent, metadata)
    named = named_keys(repository, place, metadata)
    for keyid in [keyid for keyid in metadata.signatures if keyid not in named]:
        del metadata.signatures[keyid]
    data = metadata.to_bytes()
    repository.path(place).parent.mkdir(parents=True, exist_ok=True)
    if place.role == "root":
        write_durably(repository.numbered_root_path(metadata.signed.version, place), data)
    write_durably(repository.path(place), data)
    repository.pending_path(place).unlink(missing_ok=True)


def _dependents(repository: Repository, place: Place) -> Sequence[Place]:
    if place == MODELS_ROOT:
        return (TARGETS,)
    return tuple(one for one in repository.listings() if one != TARGETS) if place == TARGETS else ()


def _ask_again_unless_held(repository: Repository, place: Place, above: Signed) -> None:
    """Turn a listing whose keys the new delegator does not name into one that waits for the new keys."""
    listing = repository.installed(place)
    if listing is None:
        return
    before = standing_delegators(repository, place, listing)
    for delegator in before.values():
        check_signed_by(delegator, place, listing, repository.path(place))
    try:
        check_signed_by(above.signed, place, listing, repository.path(place))
    except RepositoryDamaged:
        if repository.pending(place) is None:
            store_pending(repository, place, next_version(repository, place))
        repository.path(place).unlink()


def _drop_signatures_of_former_keys(repository: Repository, place: Place, above: Signed) -> None:
    """Take out of what waits the signatures of keys that the new delegator names no more."""
    metadata = repository.pending(place)
    if metadata is None:
        return
    before = standing_delegators(repository, place, metadata)
    former = {keyid for delegator in before.values() for keyid in keys_of(delegator, place.role)}
    stale = set(metadata.signatures) & former - set(_named_by(above, place))
    for keyid in stale:
        del metadata.signatures[keyid]
    if stale:
        store_pending(repository, place, metadata)


def _named_by(above: Signed, place: Place) -> Mapping[str, PublicKey]:
    delegator = as_root(above) if place == TARGETS else as_listing(above)
    return keys_of(delegator, place.role) if place.role in named_roles(delegator)[1] else {}
