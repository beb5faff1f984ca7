"""Whether a file is an artifact as it was signed, read piece by piece: a device need not have room for it in memory.

The file is opened once and judged by that descriptor: another file that takes its name meanwhile is not the one judged.
It is not trusted for that later on either: whoever loads an artifact hashes the very bytes that are loaded
(``Slots.read``).
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from contracts.artifact import HEADER_LIMIT_BYTES, ArtifactHeader, read_artifact_header
from contracts.errors import ArtifactError
from contracts.ids import Digest
from edge_agent.errors import ArtifactMismatch

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.release import ReleasedArtifact

HEAD_BYTES = HEADER_LIMIT_BYTES + 1024
"""Enough to hold any header."""


def file_digest(path: Path) -> tuple[int, Digest]:
    """Return the file's length and digest; of no file, those of no bytes."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size, Digest(hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        return 0, Digest(hashlib.sha256().hexdigest())


def check_whole(path: Path, pinned: ReleasedArtifact) -> None:
    """Accept the file where it is the signed artifact, and its header says of it what was signed.

    Raises:
        ArtifactMismatch: it is not.
        OSError: the disk refuses.
    """
    with path.open("rb") as file:
        length, digest = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        head = file.read(HEAD_BYTES)
    if length != pinned.length or digest != pinned.digest:
        raise ArtifactMismatch(
            f"{pinned.path} is not the signed file once put together; offer it again, or publish it as a new version"
        )
    try:
        header, start = read_artifact_header(head)
    except ArtifactError as error:
        raise ArtifactMismatch(f"the artifact cannot be read: {error}") from error
    end = start + sum(member.length for member in header.members)
    if end != length:
        raise ArtifactMismatch(f"{pinned.path}: its members end at byte {end} of {length}; pack and sign it again")
    _check_manifest(header, pinned)


def _check_manifest(header: ArtifactHeader, pinned: ReleasedArtifact) -> None:
    manifest, custom = header.manifest, pinned.custom
    stated = (f"{manifest.model}@{manifest.version}", manifest.profile, manifest.counter)
    signed = (custom.release, custom.profile, custom.counter)
    if stated != signed:
        raise ArtifactMismatch(f"{pinned.path}: its manifest says {stated}, signed is {signed}; sign the release again")
