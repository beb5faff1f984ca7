"""Both signed repositories made in a test: real TUF metadata, real keys, files kept in memory.

Every attack of the tests is a change to what these repositories say or to what the courier hands out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from contracts.artifact import read_artifact
from contracts.chunks import ChunkIndex, cut, pieces
from contracts.codec import encode, to_plain
from contracts.delta import DeltaNews, DeltaState
from contracts.ids import Digest, ProfileName, digest_of, parse_release_id, release_id, split_release_id
from contracts.metadata import MetadataName, MetadataRequest, RepositoryName
from contracts.release import FLOORS_FIELD, TargetCustom, target_path
from tests.fakes.director import FakeDirector
from tests.fakes.tuf_files import TufFiles

PI = ProfileName("raspberry-pi-4")


class SignedRepository(TufFiles):
    """The model repository, and with it the ``director``; publishing signs everything anew.

    ``instead`` holds bytes that are handed out for a role of a repository whatever is asked for.
    """

    def __init__(self, *, expires: datetime | None = None) -> None:
        super().__init__(expires=expires)
        self.director = FakeDirector()
        self.indexes: dict[Digest, bytes] = {}
        self.chunks: dict[Digest, tuple[bytes, ...]] = {}
        self.deltas: dict[tuple[str, str], list[DeltaNews]] = {}
        self.instead: dict[tuple[RepositoryName, str], bytes] = {}
        self.asked: list[MetadataRequest] = []
        self.targets: dict[str, Targets] = {"targets": Targets(expires=self.expires)}
        self._version = 0
        self.sign()

    def publish(
        self, artifact: bytes, *, chunk_bytes: int = 4096, team: str = "targets", **custom: object
    ) -> ChunkIndex:
        """Sign the artifact as a target of the team; ``custom`` overrides fields of the signed custom."""
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
            runtime=manifest.format,
        )
        path = target_path(manifest.model, manifest.version, manifest.profile)
        self.targets[team].targets[path] = TargetFile(
            length=len(artifact),
            hashes={"sha256": digest_of(artifact)},
            path=path,
            unrecognized_fields={"custom": to_plain(dataclasses.replace(stated, **custom))},  # type: ignore[arg-type]  # whatever a test puts in
        )
        self.sign()
        return index

    def sign(self) -> None:
        """Sign the next version of all targets, of snapshot and timestamp with the keys as they are now."""
        self._version += 1
        version = self._version
        for role, targets in self.targets.items():
            targets.version, targets.expires = version, self.expires
            self.write(role, targets)
        self._write_snapshot(version, dict.fromkeys(self.targets, version))
        self._write_timestamp(version, snapshot=version)

    def jump(self, version: int) -> None:
        """Sign that version next."""
        self._version = version - 1
        self.sign()

    def offer_delta(self, base: bytes, target: bytes, delta: bytes, *, chunk_bytes: int = 4096) -> DeltaNews:
        """Hand out these bytes as the delta between the two artifacts, right or not."""
        index = cut(delta, chunk_bytes)
        data = encode(index)
        self.indexes[digest_of(data)] = data
        self.chunks[digest_of(data)] = tuple(pieces(delta, index.lengths))
        news = DeltaNews(
            base=digest_of(base),
            target=digest_of(target),
            state=DeltaState.READY,
            index=digest_of(data),
            length=len(delta),
        )
        self.deltas[news.base, news.target] = [news]
        return news

    def delegate(self, team: str, *paths: str, keys: int = 1, threshold: int = 1, terminating: bool = True) -> None:
        """Give the paths to a team with keys of its own, and sign."""
        self.signers[team] = [CryptoSigner.generate_ed25519() for _ in range(keys)]
        public = [signer.public_key for signer in self.signers[team]]
        role = DelegatedRole(team, [key.keyid for key in public], threshold, terminating, list(paths))
        self.targets[team] = Targets(expires=self.expires)
        self.add_delegation("targets", role, public)
        self.sign()

    def add_delegation(self, delegator: str, role: DelegatedRole, keys: Sequence[Key]) -> None:
        """Let the delegator's targets name the role, whatever it is."""
        targets = self.targets[delegator]
        targets.delegations = targets.delegations or Delegations(keys={}, roles={})
        targets.delegations.keys.update({key.keyid: key for key in keys})
        assert targets.delegations.roles is not None
        targets.delegations.roles[role.name] = role

    def revoke(self, team: str) -> None:
        """Take the delegation away; its file stays named by the snapshot, as it must."""
        delegations = self.targets["targets"].delegations
        assert delegations is not None
        assert delegations.roles is not None
        for keyid in delegations.roles.pop(team).keyids:
            del delegations.keys[keyid]
        self.sign()

    def raise_floor(self, model: str, counter: int, *, team: str = "targets") -> None:
        """State a security floor, and sign."""
        self.targets[team].unrecognized_fields.setdefault(FLOORS_FIELD, {})[model] = counter
        self.sign()

    def roll_back(self, versions: int) -> None:
        """Forget the newest versions: what a server does that replays old metadata."""
        for role in (MetadataName.TIMESTAMP, MetadataName.SNAPSHOT, MetadataName.TARGETS):
            for _ in range(versions):
                del self.files[role, self.newest(role)]

    def assign(self, release: str, profile: ProfileName = PI) -> None:
        """Let the director name the release as it is published; one that is not is named all the same."""
        path = target_path(*split_release_id(parse_release_id(release)), profile)
        published = next((targets.targets[path] for targets in self.targets.values() if path in targets.targets), None)
        invented = TargetFile(length=1, hashes={"sha256": digest_of(release.encode())}, path=path)
        self.director.name(path, published or invented)

    def answer(self, asked: MetadataRequest) -> bytes:
        """Return what is handed out for the question; empty where there is nothing."""
        self.asked.append(asked)
        role = asked.team or asked.name
        if (asked.repository, role) in self.instead:
            return self.instead[asked.repository, role]
        if asked.repository is RepositoryName.DIRECTOR:
            return self.director.answer(asked)
        if asked.name is MetadataName.DELTA:
            told = self.deltas.get((asked.base, asked.digest), [])
            return encode(told.pop(0) if len(told) > 1 else told[0]) if told else b""
        if asked.name is MetadataName.INDEX:
            return next((data for digest, data in self.indexes.items() if digest == asked.digest), b"")
        return self.files.get((role, asked.version or self.newest(role)), b"")
