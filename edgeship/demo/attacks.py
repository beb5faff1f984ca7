"""Step 8's intruder: somebody who has taken over the fleet server, its disk, its database and its online key.

What such a person cannot have is the offline targets key. Each attack writes straight into the
server's state, past all of its own checks, and says how to undo it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.artifact import read_artifact
from contracts.chunks import cut
from contracts.codec import Plain, encode, to_plain
from contracts.ids import DEFAULT_TENANT, Digest, ReleaseId, digest_of, release_id
from contracts.metadata import MetadataName
from contracts.release import ReleasedArtifact, TargetCustom, index_digest, target_path
from edgeship.demo.releasing import CHUNK_BYTES

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

Kept = dict[MetadataName, tuple[int, str]]
"""Versions and texts of metadata files, by role."""
ONLINE_ROLES = (MetadataName.TARGETS, MetadataName.SNAPSHOT, MetadataName.TIMESTAMP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intruder:
    """The intruder's hands on the server's state; ``folder`` is the server's data folder."""

    folder: Path
    engine: Engine

    @classmethod
    def enter(cls, folder: Path) -> Intruder:
        """Return the intruder in that server's folder."""
        from fleet_server.database.session import open_database

        return cls(folder=folder, engine=open_database(f"sqlite:///{folder / 'fleet.db'}"))

    def forge_release(self, artifact: Path, *, now: datetime) -> ReleaseId:
        """Put a release into the server that is signed with a key of the intruder's own making.

        Snapshot and timestamp are signed with the stolen online key, so they are genuine.
        """
        from fleet_server.database.session import transaction
        from fleet_server.releases.online_roles import sign_online_roles
        from fleet_server.trust.keys import KeyName, KeyRing

        data = artifact.read_bytes()
        forged = describe(data)
        self._plant_bytes(data)
        with transaction(self.engine) as session:
            version = self._plant_targets(session, forged, now)
            self._plant_rows(session, forged, data, version, now)
            sign_online_roles(session, DEFAULT_TENANT, KeyRing(self.folder, KeyName.ONLINE), now)
        return forged.custom.release

    def withdraw_forgery(self, release: ReleaseId) -> None:
        """Undo ``forge_release``, as an operator would who restores the server; a genuine publication follows."""
        from sqlalchemy import delete

        from fleet_server.database.session import transaction
        from fleet_server.database.tables import ArtifactRow, ReleaseRow
        from fleet_server.releases.store import newest_document

        with transaction(self.engine) as session:
            forged = newest_document(session, DEFAULT_TENANT, MetadataName.TARGETS)
            if forged is not None:
                session.delete(forged)
            session.execute(delete(ArtifactRow).where(ArtifactRow.release == release))
            session.execute(delete(ReleaseRow).where(ReleaseRow.id == release))

    @contextmanager
    def flipped_byte(self, artifact: Path, *, held: Path) -> Iterator[int]:
        """Flip one byte of one stored chunk of the artifact; yield the chunk's place.

        It is one that ``held``, the artifact that the devices run, has not: they would not ask for it.
        """
        index, known = cut(artifact.read_bytes(), CHUNK_BYTES), set(cut(held.read_bytes(), CHUNK_BYTES).digests)
        new = [place for place, digest in enumerate(index.digests) if digest not in known]
        place = new[len(new) // 2]
        name = index.digests[place].hex()
        path = self.folder / "vault" / "chunks" / name[:2] / name
        genuine = path.read_bytes()
        damaged = bytearray(genuine)
        damaged[len(damaged) // 2] ^= 0x01
        path.write_bytes(damaged)
        try:
            yield place
        finally:
            path.write_bytes(genuine)

    def copy_metadata(self) -> Kept:
        """Return today's targets, snapshot and timestamp: what an eavesdropper could have kept."""
        from fleet_server.database.session import reading
        from fleet_server.releases.store import newest_document

        with reading(self.engine) as session:
            found = {role: newest_document(session, DEFAULT_TENANT, role) for role in ONLINE_ROLES}
            return {role: (row.version, row.text) for role, row in found.items() if row is not None}

    @contextmanager
    def replayed_metadata(self, old: Kept) -> Iterator[None]:
        """Let the server answer with the old metadata, genuine and unexpired, as if nothing had come since."""
        from fleet_server.database.session import transaction

        with transaction(self.engine) as session:
            newer = self._take_newer_than(session, old)
        try:
            yield
        finally:
            with transaction(self.engine) as session:
                session.add_all(newer)

    def _take_newer_than(self, session: Session, old: Kept) -> list[object]:
        from sqlalchemy import select

        from fleet_server.database.trust_tables import MetadataDocumentRow

        kept: list[object] = []
        for role, (version, _) in old.items():
            newer = select(MetadataDocumentRow).where(
                MetadataDocumentRow.role == role, MetadataDocumentRow.version > version
            )
            for row in session.scalars(newer).all():
                kept.append(
                    MetadataDocumentRow(
                        tenant=row.tenant,
                        role=row.role,
                        version=row.version,
                        text=row.text,
                        received_at=row.received_at,
                    )
                )
                session.delete(row)
        return kept

    def _plant_bytes(self, data: bytes) -> None:
        from fleet_server.releases.vault import Vault

        vault = Vault(self.folder / "vault")
        with vault.receive(digest_of(data)) as upload:
            upload.write(data)
            upload.keep()
        vault.cut(cut(data, CHUNK_BYTES))

    def _plant_targets(self, session: Session, forged: ReleasedArtifact, now: datetime) -> int:
        from securesystemslib.signer import CryptoSigner
        from tuf.api.metadata import Metadata, TargetFile, Targets

        from fleet_server.releases.store import newest_document, put_document

        genuine = newest_document(session, DEFAULT_TENANT, MetadataName.TARGETS)
        targets: Metadata[Targets] = Metadata.from_bytes(genuine.text.encode() if genuine else b"")
        targets.signed.version += 1
        targets.signed.targets[forged.path] = TargetFile.from_dict(_target(forged), forged.path)
        targets.signatures.clear()
        targets.sign(CryptoSigner.generate_ed25519())
        version = targets.signed.version
        put_document(
            session, DEFAULT_TENANT, MetadataName.TARGETS, version=version, text=targets.to_bytes().decode(), now=now
        )
        return version

    def _plant_rows(self, session: Session, forged: ReleasedArtifact, data: bytes, version: int, now: datetime) -> None:
        from fleet_server.releases.store import add_artifact, keep_index
        from fleet_server.trust.listing import Listed

        index = cut(data, CHUNK_BYTES)
        header = data[12 : 12 + int.from_bytes(data[8:12], "little")]
        keep_index(session, DEFAULT_TENANT, forged.custom.index, index=index, body=encode(index), now=now)
        listed = Listed(role="targets", artifact=forged, target=_target(forged))
        add_artifact(session, DEFAULT_TENANT, listed, header=header, targets_version=version, now=now)


def _target(artifact: ReleasedArtifact) -> dict[str, Plain]:
    hashes: dict[str, Plain] = {"sha256": artifact.digest}
    return {"length": artifact.length, "hashes": hashes, "custom": to_plain(artifact.custom)}


def describe(data: bytes) -> ReleasedArtifact:
    """Return what targets metadata say of the artifact."""
    manifest = read_artifact(data).manifest
    digest, length = index_digest(cut(data, CHUNK_BYTES))
    release = release_id(manifest.model, manifest.version)
    return ReleasedArtifact(
        path=target_path(manifest.model, manifest.version, manifest.profile),
        profile=manifest.profile,
        digest=Digest(digest_of(data)),
        length=len(data),
        custom=TargetCustom(
            release=release,
            counter=manifest.counter,
            profile=manifest.profile,
            index=digest,
            index_length=length,
            min_agent_version=manifest.min_agent_version,
        ),
    )
