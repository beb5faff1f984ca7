"""The artifact file: one manifest and its members, in one flat file with no holes.

Layout (integers little-endian):

    8 bytes   the magic ``EDGESHIP``
    4 bytes   length of the header
    header    canonical CBOR of ``ArtifactHeader``: the manifest and the list of members
    members   the bytes of each member, one after the other, in the order of the header

Members are ``model``, and for each served tensor ``golden/input/NAME`` and ``golden/output/NAME``:
raw little-endian elements of the tensor's type, ``golden.rows`` rows [wire-6.2]. Members must be
contiguous and end with the file (nothing can hide between them), and each has its SHA-256 [wire-6.1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.codec import decode, encode
from contracts.errors import ArtifactError, DecodeError
from contracts.ids import Digest, digest_of
from contracts.manifest import ArtifactManifest

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"EDGESHIP"
HEADER_LIMIT_BYTES = 1_000_000
MODEL_MEMBER = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One stretch of the artifact: ``length`` in bytes."""

    name: str
    length: int
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactHeader:
    """What the header holds."""

    manifest: ArtifactManifest
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact in memory, its members checked against their digests."""

    manifest: ArtifactManifest
    members: Mapping[str, bytes]

    @property
    def model(self) -> bytes:
        """The model file's bytes."""
        return self.members[MODEL_MEMBER]


def write_artifact(manifest: ArtifactManifest, members: Mapping[str, bytes]) -> bytes:
    """Return the artifact's bytes; equal input gives equal bytes.

    Raises:
        ArtifactError: the members are not those that the manifest asks for.
    """
    _check_members(manifest, set(members))
    header = encode(
        ArtifactHeader(
            manifest=manifest,
            members=tuple(
                Member(name=name, length=len(data), digest=digest_of(data)) for name, data in members.items()
            ),
        )
    )
    return b"".join((MAGIC, len(header).to_bytes(4, "little"), header, *members.values()))


def read_artifact(data: bytes) -> Artifact:
    """Return the artifact that the bytes hold, every digest checked.

    Raises:
        ArtifactError: not an artifact, cut short, too long, or a member that differs from its digest.
    """
    header, start = read_artifact_header(data)
    members: dict[str, bytes] = {}
    for member in header.members:
        content = data[start : start + member.length]
        if len(content) != member.length or digest_of(content) != member.digest:
            raise ArtifactError(f"member {member.name!r} differs from its digest: fetch the artifact again")
        if member.name in members:
            raise ArtifactError(f"member {member.name!r} appears twice")
        members[member.name] = content
        start += member.length
    if start != len(data):
        raise ArtifactError(f"{len(data) - start} bytes after the last member")
    _check_members(header.manifest, set(members))
    return Artifact(manifest=header.manifest, members=members)


def read_artifact_file(path: Path) -> Artifact:
    """Return the artifact in the file.

    Raises:
        ArtifactError: as ``read_artifact``, or the file cannot be read.
    """
    try:
        return read_artifact(path.read_bytes())
    except OSError as error:
        raise ArtifactError(
            f"cannot read artifact {path}: {error.strerror}; give a file of 'edgeship recipe pack'"
        ) from error
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error


def golden_members(manifest: ArtifactManifest) -> tuple[str, ...]:
    """Return the names of the members that hold recorded inputs and outputs."""
    return (
        *(f"golden/input/{spec.name}" for spec in manifest.inputs),
        *(f"golden/output/{spec.name}" for spec in manifest.outputs),
    )


def read_artifact_header(data: bytes) -> tuple[ArtifactHeader, int]:
    """Return the header and where the members start; ``data`` may end anywhere after the header.

    Raises:
        ArtifactError: not an artifact, or the header is damaged.
    """
    if data[:8] != MAGIC:
        raise ArtifactError("this is no edgeship artifact; make one with 'edgeship recipe pack'")
    length = int.from_bytes(data[8:12], "little")
    if length > HEADER_LIMIT_BYTES or 12 + length > len(data):
        raise ArtifactError(f"the header claims {length} bytes; the file is cut short or damaged")
    try:
        return decode(ArtifactHeader, data[12 : 12 + length], limit_bytes=HEADER_LIMIT_BYTES), 12 + length
    except DecodeError as error:
        raise ArtifactError(f"the header cannot be read: {error}") from error


def _check_members(manifest: ArtifactManifest, names: set[str]) -> None:
    wanted = {MODEL_MEMBER, *golden_members(manifest)}
    if names != wanted:
        odd = ", ".join(sorted(wanted ^ names))
        raise ArtifactError(
            f"an artifact holds its model and its golden tensors, no more and no less; differs in {odd}"
        )
