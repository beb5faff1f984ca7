"""A copy of the repository that was signed elsewhere, brought in: signatures, drafts, what came into force there.

Everything is checked before anything is written. Two files of one role and one version must say the same, byte for byte
of what is signed: then their signatures are put together. Else the copy is refused, and the difference named.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.ids import digest_of
from signing.ceremony.gathering import settle, store_pending
from signing.ceremony.pending import check_signatures
from signing.ceremony.plainness import check_plain
from signing.ceremony.roles import check_named_keys
from signing.draft import Draft, admit, write_draft
from signing.durable_file import write_durably
from signing.errors import CopyDiffers, DraftRefused, RepositoryDamaged
from signing.metadata import as_listing, as_root, read_root, signed_artifacts
from signing.places import ROOTS, Place
from signing.verification import check_artifact, check_signed_by, check_waiting, read_file

if TYPE_CHECKING:
    from contracts.release import ReleasedArtifact
    from signing.metadata import Signed
    from signing.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came from the copy: signatures by (role, holder), drafts, and the roles that changed what is in force.

    ``unsigned`` are roles of which something waits now that nobody has signed: anybody may have written it.
    """

    signatures: tuple[tuple[str, str], ...]
    drafts: tuple[str, ...]
    in_force: tuple[str, ...]
    unsigned: tuple[str, ...] = ()


def merge(repository: Repository, copy: Repository) -> Merged:
    """Bring in what the copy has beyond this repository, and return what that was.

    Raises:
        CopyDiffers: it is of another repository, or says something else at the same version; nothing was written.
        RepositoryDamaged: a signature, a digest or a manifest of the copy does not hold; nothing was written.
    """
    where = repository.folder.absolute()
    _sweep(where)
    with tempfile.TemporaryDirectory(prefix=f".merge-{where.name}-", dir=where.parent) as folder:
        rehearsal = _rehearse(repository, Path(folder) / "repository")
        merged = _merge(rehearsal, copy)
        check_waiting(rehearsal)
    _merge(repository, copy)
    return merged


def _sweep(folder: Path) -> None:
    """Remove what a killed merge into this repository left beside it; two merges into one at a time cannot be."""
    left = re.compile(rf"\.merge-{re.escape(folder.name)}-[a-z0-9_]{{8}}")
    for path in folder.parent.iterdir():
        if left.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _rehearse(repository: Repository, folder: Path) -> Repository:
    """Return a throw-away copy on which a merge may fail half-way; artifacts are linked where the disk lets it."""
    shutil.copytree(repository.folder, folder, copy_function=_link_or_copy)
    return type(repository)(folder=folder)


def _link_or_copy(source: str, destination: str) -> object:
    """Link large files that nothing writes to in place (``write_durably`` replaces); copy where links cannot be."""
    try:
        Path(destination).hardlink_to(source)
    except OSError:
        shutil.copy2(source, destination)
    return destination


def _merge(ours: Repository, copy: Repository) -> Merged:
    settle(ours)
    before = {place: ours.installed(place) for place in ours.places()}
    waited = {place: ours.pending(place) for place in ours.places()}
    _take_bytes(ours, copy)
    for place in ROOTS:
        _take_roots(ours, copy, place)
    signatures: list[tuple[str, str]] = []
    for place in copy.places():
        theirs = copy.installed(place)
        if theirs is not None and place not in ROOTS:
            signatures += _take_file(ours, place, theirs, copy.path(place))
        pending = copy.pending(place)
        if pending is not None:
            signatures += _take_file(ours, place, pending, copy.pending_path(place))
        settle(ours)
    drafts = _take_drafts(ours, copy)
    settle(ours)
    changed = [place.name for place in ours.places() if _version(ours.installed(place)) != _version(before.get(place))]
    unsigned = [place.name for place in ours.places() if _is_new_and_unsigned(ours.pending(place), waited.get(place))]
    return Merged(signatures=tuple(signatures), drafts=drafts, in_force=tuple(changed), unsigned=tuple(unsigned))


def _is_new_and_unsigned(metadata: Signed | None, before: Signed | None) -> bool:
    if metadata is None or metadata.signatures:
        return False
    return before is None or not _same_bytes(metadata, before)


def _take_roots(ours: Repository, copy: Repository, place: Place) -> None:
    """Follow the copy's roots, each signed by the one before it; those of the same version must be the same."""
    for path in copy.root_paths(place):
        metadata = read_root(path)
        version = metadata.signed.version
        here = ours.numbered_root_path(version, place)
        newest = ours.installed_root(place)
        if newest is not None and version <= newest.version:
            if read_root(here).signed_bytes != metadata.signed_bytes:
                raise CopyDiffers(
                    f"{path} is not the {place.name} version {version} that is here; "
                    f"{'it is a copy of another repository' if version == 1 else 'two were signed: find out why'}"
                )
            continue
        for signer in (newest, metadata.signed):
            if signer is not None:
                check_signed_by(signer, place, metadata, path)
        check_named_keys(metadata.signed, path)
        check_plain(place, metadata, path)
        pending = ours.pending(place)
        if pending is not None and (pending.signatures or version == 1) and _same_version(pending, metadata):
            _check_same(pending, metadata, place=place, path=path)
        store_pending(ours, place, metadata)
        settle(ours)


def _take_file(ours: Repository, place: Place, theirs: Signed, path: Path) -> list[tuple[str, str]]:
    """Bring in a file of the copy, or the signatures that it has beyond ours; return whose they are."""
    here, waiting = ours.installed(place), ours.pending(place)
    if here is not None and theirs.signed.version <= here.signed.version:
        if _same_version(here, theirs):
            _check_same(here, theirs, place=place, path=path, unless_unsigned=True)
        return []
    if waiting is None or (not waiting.signatures and not _same_bytes(waiting, theirs)):
        _check_follows(ours, place, theirs, path)
        if theirs.signatures or waiting is None:
            _check_carried(ours, place, theirs, path)
            store_pending(ours, place, theirs)
            return _whose(ours, place, theirs, set(theirs.signatures))
        return []
    if not _same_version(waiting, theirs) and theirs.signed.version > waiting.signed.version:
        raise CopyDiffers(
            f"{path} is {place.name} version {theirs.signed.version}, while version {waiting.signed.version} waits for "
            f"signatures here; take that back with 'edgeship release withdraw {place.name}', then merge again"
        )
    if not _same_version(waiting, theirs):
        return []
    _check_same(waiting, theirs, place=place, path=path, unless_unsigned=True)
    if not _same_bytes(waiting, theirs):
        return []
    _check_carried(ours, place, theirs, path)
    fresh = set(theirs.signatures) - set(waiting.signatures)
    for keyid in sorted(fresh):
        waiting.signatures[keyid] = theirs.signatures[keyid]
    if fresh:
        store_pending(ours, place, waiting)
    return _whose(ours, place, waiting, fresh)


def _check_carried(ours: Repository, place: Place, theirs: Signed, path: Path) -> None:
    check_signatures(ours, place, theirs, path)
    check_plain(place, theirs, path)
    if place in ROOTS:
        check_named_keys(as_root(theirs), path)
    for artifact in signed_artifacts(as_listing(theirs)) if place not in ROOTS else ():
        check_artifact(ours, artifact)


def _check_follows(ours: Repository, place: Place, theirs: Signed, path: Path) -> None:
    newest = _version(ours.installed(place))
    if place in ROOTS and theirs.signed.version != newest + 1:
        raise CopyDiffers(
            f"{path} is {place.name} version {theirs.signed.version}; it does not follow version {newest} here"
        )
    if place in ROOTS and newest == 0:
        raise CopyDiffers(f"{path} is the first root of another repository; give a copy of this one")


def _check_same(mine: Signed, theirs: Signed, *, place: Place, path: Path, unless_unsigned: bool = False) -> None:
    if _same_bytes(mine, theirs) or (unless_unsigned and not theirs.signatures):
        return
    raise CopyDiffers(
        f"{path} is not the {place.name} version {theirs.signed.version} that is here: {_difference(mine, theirs)}; "
        "nobody should sign either before you know who changed what"
    )


def _difference(mine: Signed, theirs: Signed) -> str:
    """Return the first thing that the two say differently, in words."""
    if mine.signed.type != "root":
        here, there = ({one.path: one for one in signed_artifacts(as_listing(side))} for side in (mine, theirs))
        for path in sorted({*here, *there}):
            one, other = _digest(here.get(path)), _digest(there.get(path))
            if here.get(path) != there.get(path):
                what = f"sha256 {other} there, {one} here" if one != other else "the same bytes under other terms"
                return f"{path}: {what}"
    mine_plain, their_plain = mine.signed.to_dict(), theirs.signed.to_dict()
    fields = [name for name in sorted({*mine_plain, *their_plain}) if mine_plain.get(name) != their_plain.get(name)]
    return f"they differ in {', '.join(fields)}"


def _digest(artifact: ReleasedArtifact | None) -> str:
    return artifact.digest if artifact else "none"


def _take_drafts(ours: Repository, copy: Repository) -> tuple[str, ...]:
    draft, listed, floors = Draft(artifacts=ours.drafted()), ours.listed(), ours.floors()
    known = {artifact.path: artifact for artifact in draft.artifacts}
    taken = []
    for artifact in sorted(copy.drafted(), key=lambda one: one.custom.counter):
        if known.get(artifact.path) == artifact or artifact in listed:
            continue
        if artifact.path in known:
            raise CopyDiffers(
                f"{artifact.path} is drafted there with sha256 {artifact.digest} and here with "
                f"{known[artifact.path].digest}; delete one draft, and draft the right one again"
            )
        check_artifact(ours, artifact)
        try:
            draft = admit(artifact, draft, listed, floors=floors)
        except DraftRefused as error:
            raise CopyDiffers(f"{copy.draft_path}: {error}") from error
        taken.append(artifact.path)
    write_draft(ours.draft_path, draft)
    return tuple(taken)


def _take_bytes(ours: Repository, copy: Repository) -> None:
    """Copy the artifacts and indexes that are not here yet; none of them counts before metadata name it."""
    for name, suffix in (("artifacts", "artifact"), ("indexes", "cbor")):
        (ours.folder / name).mkdir(parents=True, exist_ok=True)
        for path in sorted((copy.folder / name).glob(f"*.{suffix}")):
            target = ours.folder / name / path.name
            if path.name.startswith(".") or target.exists():
                continue
            data = read_file(path)
            if path.name != f"{digest_of(data)}.{suffix}":
                raise RepositoryDamaged(f"{path} differs from what was signed: its sha256 is {digest_of(data)}")
            write_durably(target, data)


def _whose(ours: Repository, place: Place, metadata: Signed, keyids: set[str]) -> list[tuple[str, str]]:
    from signing.ceremony.pending import named_keys

    keys = named_keys(ours, place, metadata)
    return [(place.name, keys[keyid].words) for keyid in sorted(keyids) if keyid in keys]


def _same_version(one: Signed, other: Signed) -> bool:
    return one.signed.version == other.signed.version


def _same_bytes(one: Signed, other: Signed) -> bool:
    return one.signed_bytes == other.signed_bytes


def _version(metadata: Signed | None) -> int:
    return metadata.signed.version if metadata is not None else 0
