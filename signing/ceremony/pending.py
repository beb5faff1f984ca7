"""What waits for signatures: whose signatures count, how many are there, and how many are missing.

A root needs the threshold of the root before it and its own; targets that of the newest root; a team's listing that
of the newest top targets. Only delegators in force let anything come into force; those that wait let people sign
ahead, so that one round is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signing.ceremony.roles import keys_of
from signing.errors import RepositoryDamaged
from signing.keys import public_of, tuf_key
from signing.metadata import as_listing, as_root, teams_of
from signing.places import MODELS_ROOT, TARGETS, Place

if TYPE_CHECKING:
    from pathlib import Path

    from signing.ceremony.roles import Delegator
    from signing.keys import PublicKey
    from signing.metadata import Signed
    from signing.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Signatures that one delegator asks for: who gave theirs, who still can. ``by`` says which delegator."""

    by: str
    threshold: int
    signed: tuple[PublicKey, ...]
    open: tuple[PublicKey, ...]

    @property
    def missing(self) -> int:
        """How many signatures are still needed."""
        return max(0, self.threshold - len(self.signed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One file that waits for signatures. ``rests_on`` names the role that must be in force before it, or is empty."""

    place: Place
    version: int
    needs: tuple[Need, ...]
    rests_on: str = ""

    @property
    def complete(self) -> bool:
        """Whether it may come into force."""
        return not self.rests_on and all(need.missing == 0 for need in self.needs)


def waiting(repository: Repository) -> tuple[Waiting, ...]:
    """Return what waits for signatures in the repository, those that others rest on first."""
    found = ((place, repository.pending(place)) for place in repository.places())
    return tuple(waiting_for(repository, place, metadata) for place, metadata in found if metadata is not None)


def waiting_for(repository: Repository, place: Place, metadata: Signed) -> Waiting:
    """Return what the metadata still need to come into force at that place."""
    standing = standing_delegators(repository, place, metadata)
    coming = coming_delegators(repository, place)
    judged = standing or coming
    needs = [_need(by, delegator, place.role, metadata) for by, delegator in judged.items()]
    return Waiting(
        place=place,
        version=metadata.signed.version,
        needs=tuple(one for number, one in enumerate(needs) if one not in needs[:number]),
        rests_on="" if standing else _rests_on(place),
    )


def named_keys(repository: Repository, place: Place, metadata: Signed) -> dict[str, PublicKey]:
    """Return the keys whose signature the file can carry, by keyid: of delegators in force, and of those to come."""
    every = {
        **standing_delegators(repository, place, metadata),
        **{f"coming {by}": delegator for by, delegator in coming_delegators(repository, place).items()},
    }
    return {keyid: key for delegator in every.values() for keyid, key in keys_of(delegator, place.role).items()}


def standing_delegators(repository: Repository, place: Place, metadata: Signed) -> Mapping[str, Delegator]:
    """Return the delegators in force that must agree, by what people call them; none where they do not exist yet."""
    if place.role == "root":
        before = repository.installed_root(place)
        itself = {f"{place.name} version {metadata.signed.version}": as_root(metadata)}
        return {f"{place.name} version {before.version}": before, **itself} if before else itself
    if place == TARGETS:
        root = repository.installed_root(MODELS_ROOT)
        return {f"root version {root.version}": root} if root else {}
    targets = repository.installed(TARGETS)
    return _naming(place, targets) if targets else {}


def coming_delegators(repository: Repository, place: Place) -> Mapping[str, Delegator]:
    """Return the delegators that wait for signatures themselves."""
    if place.role == "root":
        return {}
    above = MODELS_ROOT if place == TARGETS else TARGETS
    metadata = repository.pending(above)
    if metadata is None:
        return {}
    if place == TARGETS:
        return {f"root version {metadata.signed.version}": as_root(metadata)}
    return _naming(place, metadata)


def check_signatures(repository: Repository, place: Place, metadata: Signed, path: Path) -> None:
    """Accept metadata each of whose signatures is by a key that is named for the place, and holds.

    Raises:
        RepositoryDamaged: a signature by another key, or one that is not of these bytes; the message names whose.
    """
    from securesystemslib.exceptions import UnverifiedSignatureError

    keys = named_keys(repository, place, metadata)
    for keyid, signature in metadata.signatures.items():
        if keyid not in keys:
            raise RepositoryDamaged(
                f"{path} carries a signature by {keyid[:10]}, no key of {place.name}; restore it from your copy"
            )
        try:
            tuf_key(keys[keyid]).verify_signature(signature, metadata.signed_bytes)
        except UnverifiedSignatureError as error:
            raise RepositoryDamaged(
                f"{path}: the signature of {keys[keyid].words} is not of what the file says: one of them was changed "
                f"after signing; restore it from a copy that {keys[keyid].holder or 'its holder'} signed"
            ) from error


def _need(by: str, delegator: Delegator, role: str, metadata: Signed) -> Need:
    result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    order = list(delegator.get_delegated_role(role).keyids)
    return Need(
        by=by,
        threshold=result.threshold,
        signed=tuple(public_of(result.signed[keyid]) for keyid in order if keyid in result.signed),
        open=tuple(public_of(result.unsigned[keyid]) for keyid in order if keyid in result.unsigned),
    )


def _naming(place: Place, metadata: Signed) -> Mapping[str, Delegator]:
    targets = as_listing(metadata)
    return {f"targets version {targets.version}": targets} if place.role in teams_of(targets) else {}


def _rests_on(place: Place) -> str:
    return "root" if place == TARGETS else "targets"
