"""The artifact file's bytes: a header and its members, in one flat file with no holes; see ``ARTIFACT.md`` [wire-6.1].

    8 bytes   the magic ``EDGESHIP``
    4 bytes   length of the header, little-endian
    header    canonical CBOR of ``ArtifactHeader``: the manifest and the list of members
    members   the bytes of each member, one after the other, in the order of the header

Members have lengths and no offsets, so they cannot overlap, and the last ends with the file [artifact-1.1]. Each has
its SHA-256 [artifact-1.4]. Two schemas are read; the newest is written [artifact-5.1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.artifact.claims import check_manifest
from contracts.artifact.names import MODEL, Document, Side, golden_name
from contracts.codec import decode, encode
from contracts.errors import ArtifactError, DecodeError
from contracts.ids import Digest, digest_of
from contracts.manifest import NEWEST_SCHEMA, ArtifactManifest

if TYPE_CHECKING:
    from pathlib import Path

MAGIC: Final = b"EDGESHIP"
HEADER_LIMIT_BYTES: Final = 1_000_000
DOCUMENT_LIMIT_BYTES: Final = 1_000_000
MEMBERS_LIMIT: Final = 1_024
_START: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One stretch of the artifact: ``length`` in bytes."""

    name: str
    length: int
    digest: Digest

    def __post_init__(self) -> None:
        """Refuse a stretch that runs backwards: it would lay a later member over an earlier one."""
        if self.length < 0:
            raise ValueError(f"member {self.name[:40]!a} has length {self.length}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactHeader:
    """What the header holds."""

    manifest: ArtifactManifest
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact in memory, its members checked against their digests and left as bytes until asked for."""

    manifest: ArtifactManifest
    members: Mapping[str, bytes]

    @property
    def model(self) -> bytes:
        """The model file's bytes."""
        return self.members[MODEL]

    def golden(self, side: Side, place: int) -> bytes:
        """Return the recorded rows of one served tensor: raw little-endian elements, ``golden.rows`` rows."""
        return self.members[golden_members(self.manifest, side)[place]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schema:
    """The part of a manifest that tells which schema the rest has."""

    schema: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    manifest: _Schema


def write_artifact(manifest: ArtifactManifest, members: Mapping[str, bytes]) -> bytes:
    """Return the artifact's bytes; equal input gives equal bytes, in whatever order the members come [artifact-1.5].

    Raises:
        ArtifactError: the members are not those that the manifest asks for, or the manifest is of an older schema.
    """
    if manifest.schema != NEWEST_SCHEMA:
        raise ArtifactError(f"schema {manifest.schema} is read, not written; write schema {NEWEST_SCHEMA}")
    check_manifest(manifest)
    _check_names(manifest, list(members))
    ordered = [(name, members[name]) for name in _all_names(manifest) if name in members]
    header = encode(
        ArtifactHeader(
            manifest=manifest,
            members=tuple(Member(name=name, length=len(data), digest=digest_of(data)) for name, data in ordered),
        )
    )
    if len(header) > HEADER_LIMIT_BYTES:
        raise ArtifactError(
            f"the header has {len(header)} bytes, at most {HEADER_LIMIT_BYTES} are read: watch fewer features, "
            "or name fewer classes"
        )
    _check_documents({name: len(data) for name, data in ordered})
    return b"".join((MAGIC, len(header).to_bytes(4, "little"), header, *(data for _, data in ordered)))


def read_artifact(data: bytes) -> Artifact:
    """Return the artifact that the bytes hold, every digest checked.

    Raises:
        ArtifactError: not an artifact, cut short, too long, or a member that differs from its digest.
    """
    header, start = read_artifact_header(data)
    whole = memoryview(data)
    ends = start + sum(member.length for member in header.members)
    if ends < len(data):
        raise ArtifactError(f"{len(data) - ends} bytes after the last member; fetch the artifact again")
    members: dict[str, bytes] = {}
    for member in header.members:
        content = bytes(whole[start : start + member.length])
        if len(content) != member.length or digest_of(content) != member.digest:
            raise ArtifactError(f"member {member.name!r} differs from its digest: fetch the artifact again")
        members[member.name] = content
        start += member.length
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


def read_artifact_header(data: bytes) -> tuple[ArtifactHeader, int]:
    """Return the header and where the members start; ``data`` may end anywhere after the header.

    Raises:
        ArtifactError: not an artifact, of a schema that is not read here, or the header is damaged or lists what no
            artifact has.
    """
    if data[:8] != MAGIC:
        raise ArtifactError("this is no edgeship artifact; make one with 'edgeship recipe pack'")
    length = int.from_bytes(data[8:_START], "little")
    if length > HEADER_LIMIT_BYTES or _START + length > len(data):  # [artifact-1.2]
        raise ArtifactError(f"the header claims {length} bytes; the file is cut short or damaged")
    header = _decoded(data[_START : _START + length])
    check_manifest(header.manifest)
    names = [member.name for member in header.members]
    _check_names(header.manifest, names)
    if header.manifest.schema > 1 and names != [name for name in _all_names(header.manifest) if name in names]:
        raise ArtifactError(f"the members stand in another order than they must, {names[0]!r} first")
    _check_documents({member.name: member.length for member in header.members})
    return header, _START + length


def golden_members(manifest: ArtifactManifest, side: Side | None = None) -> tuple[str, ...]:
    """Return the names of the members that hold recorded inputs and outputs, or one side's, in the manifest's order."""
    sides = {Side.INPUT: manifest.inputs, Side.OUTPUT: manifest.outputs}
    return tuple(
        f"golden/{one}/{spec.name}" if manifest.schema == 1 else golden_name(one, place)
        for one, specs in sides.items()
        if side in (None, one)
        for place, spec in enumerate(specs)
    )


def _decoded(data: bytes) -> ArtifactHeader:
    """Return the header that the canonical CBOR spells [artifact-1.3]."""
    try:
        header = decode(ArtifactHeader, data, limit_bytes=HEADER_LIMIT_BYTES)
    except DecodeError as error:
        _check_schema(_announced(data, error))
        raise ArtifactError(f"the header cannot be read: {error}") from error
    _check_schema(header.manifest.schema)
    return header


def _announced(data: bytes, error: DecodeError) -> int:
    """Return the schema of a header that cannot be read otherwise."""
    try:
        return decode(_Announcement, data, limit_bytes=HEADER_LIMIT_BYTES).manifest.schema
    except DecodeError:
        raise ArtifactError(f"the header cannot be read: {error}") from error


def _check_schema(schema: int) -> None:
    """Refuse what a later edgeship wrote by saying so, whatever else is in it [artifact-5.2]."""
    if schema > NEWEST_SCHEMA:
        raise ArtifactError(
            f"the artifact is of schema {schema}, this edgeship reads 1 to {NEWEST_SCHEMA}: it needs a newer agent"
        )
    if schema < 1:
        raise ArtifactError(f"there is no schema {schema}; the header is damaged")


def _all_names(manifest: ArtifactManifest) -> tuple[str, ...]:
    """Return every name that a member may have, in the order that members must have [artifact-1.5]."""
    documents = tuple(Document) if manifest.schema > 1 else ()
    return (MODEL, *golden_members(manifest), *documents)


def _check_names(manifest: ArtifactManifest, names: Sequence[str]) -> None:
    """Refuse a member too few, too many or there twice: nothing hides in an artifact [artifact-3.1]."""
    if len(names) > MEMBERS_LIMIT:
        raise ArtifactError(f"{len(names)} members are listed, at most {MEMBERS_LIMIT} are read")
    found, wanted = set(names), {MODEL, *golden_members(manifest)}
    if len(found) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"member {twice[:80]!r} appears twice")
    if wanted - found or found - set(_all_names(manifest)):
        odd = ", ".join(ascii(name[:80]) for name in sorted((wanted - found) | (found - set(_all_names(manifest))))[:5])
        raise ArtifactError(
            "an artifact holds its model, its golden tensors and documents that its schema knows, no more and no less; "
            f"differs in {odd}"
        )


def _check_documents(lengths: Mapping[str, int]) -> None:
    for document in Document:
        if lengths.get(document, 0) > DOCUMENT_LIMIT_BYTES:
            raise ArtifactError(
                f"member {document.value!r} has {lengths[document]} bytes, at most {DOCUMENT_LIMIT_BYTES} are read"
            )
