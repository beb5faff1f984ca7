"""A signed repository made in a test: real TUF metadata, real keys, files kept in memory.

Every attack of the tests is a change to what this repository says or to what the courier hands out.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from contracts.artifact import read_artifact
from contracts.chunks import ChunkIndex, cut, pieces
from contracts.codec import encode, to_plain
from contracts.ids import Digest, digest_of, release_id
from contracts.metadata import MetadataName
from contracts.release import TargetCustom, target_path
from tests.fakes.clock import START

ROLES = ("root", "targets", "snapshot", "timestamp")
FAR = timedelta(days=3650)


class SignedRepository:
    """One root key, one targets key, one online key; publishing signs everything anew."""

    def __init__(self, *, expires: datetime | None = None) -> None:
        self.expires = expires or START + FAR
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
        self.signers["timestamp"] = self.signers["snapshot"]
        self.files: dict[tuple[MetadataName, int], bytes] = {}
        self.indexes: dict[Digest, bytes] = {}
        self.chunks: dict[Digest, tuple[bytes, ...]] = {}
        self._version = 0
        self._targets = Targets(expires=self.expires)
        self._root = Root(expires=self.expires, consistent_snapshot=False)
        for role in ROLES:
            self._root.add_key(self.signers[role].public_key, role)
        self._sign_root(self.signers["root"])
        self.sign()

    @property
    def root(self) -> bytes:
        """The first root: what a device is built with."""
        return self.files[MetadataName.ROOT, 1]

    def publish(self, artifact: bytes, *, chunk_bytes: int = 4096, **custom: object) -> ChunkIndex:
        """Sign the artifact as a target; ``custom`` overrides fields of the signed custom."""
        manifest = read_artifact(artifact).manifest
        index = cut(artifact, chunk_bytes)
        data = encode(index)
        self.indexes[digest_of(data)] = data
        self.chunks[digest_of(data)] = tuple(pieces(artifact, index.lengths))
        stated = TargetCustom(
            release=release_id(manifest.model, manifest.version),
            counter=manifest.counter,
            profile=manifest.profile,
            index=digest_of(data),
            index_length=len(data),
            min_agent_version=manifest.min_agent_version,
        )
        path = target_path(manifest.model, manifest.version, manifest.profile)
        self._targets.targets[path] = TargetFile(
            length=len(artifact),
            hashes={"sha256": digest_of(artifact)},
            path=path,
            unrecognized_fields={"custom": to_plain(dataclasses.replace(stated, **custom))},  # type: ignore[arg-type]  # whatever a test puts in
        )
        self.sign()
        return index

    def sign(self) -> None:
        """Sign the next version of targets, snapshot and timestamp with the keys as they are now."""
        self._version += 1
        version = self._targets.version = self._version
        self._targets.expires = self.expires
        self._write(MetadataName.TARGETS, version, Metadata(self._targets), self.signers["targets"])
        snapshot = Snapshot(expires=self.expires, version=version, meta={"targets.json": MetaFile(version)})
        self._write(MetadataName.SNAPSHOT, version, Metadata(snapshot), self.signers["snapshot"])
        timestamp = Timestamp(expires=self.expires, version=version, snapshot_meta=MetaFile(version))
        self._write(MetadataName.TIMESTAMP, version, Metadata(timestamp), self.signers["timestamp"])

    def rotate_root(self, *, signed_by_old: bool = True) -> None:
        """Make a new root key and a new root; the old key signs it too, as it must, unless told not to."""
        old, new = self.signers["root"], CryptoSigner.generate_ed25519()
        self._root.revoke_key(old.public_key.keyid, "root")
        self._root.add_key(new.public_key, "root")
        self._root.version += 1
        self.signers["root"] = new
        self._sign_root(*((old, new) if signed_by_old else (new,)))

    def lose_key(self, role: str) -> None:
        """Let a stranger's key sign for the role from now on; the root does not name it."""
        self.signers[role] = CryptoSigner.generate_ed25519()

    def newest(self, name: MetadataName) -> int:
        """Return the newest version of that role's file."""
        return max(version for role, version in self.files if role is name)

    def roll_back(self, versions: int) -> None:
        """Forget the newest versions: what a server does that replays old metadata."""
        for name in (MetadataName.TIMESTAMP, MetadataName.SNAPSHOT, MetadataName.TARGETS):
            for _ in range(versions):
                del self.files[name, self.newest(name)]

    def _sign_root(self, *signers: CryptoSigner) -> None:
        metadata = Metadata(self._root)
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
        self.files[MetadataName.ROOT, self._root.version] = metadata.to_bytes()

    def _write(
        self,
        name: MetadataName,
        version: int,
        metadata: Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp],
        signer: CryptoSigner,
    ) -> None:
        metadata.sign(signer)
        self.files[name, version] = metadata.to_bytes()
