"""The release repository: a folder that a release engineer keeps and copies, and what changes in it.

    metadata/N.root.json, root.json   the keys of all roles; root.json is the newest
    metadata/targets.json             what is released, signed with the targets key
    artifacts/DIGEST.artifact         the bytes of each release
    indexes/DIGEST.cbor               how they are cut into chunks
    draft.json                        what waits for a signature; nobody has to trust it

Draft and sign are two steps, so that a machine that packs models needs no key. Snapshot and
timestamp are the server's: root names its online key for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from contracts.artifact import read_artifact
from contracts.chunks import DEFAULT_CHUNK_BYTES
from contracts.codec import encode, to_plain
from contracts.errors import ArtifactError
from signing.draft import Draft, admit, describe, read_draft, write_draft
from signing.durable_file import write_durably
from signing.errors import (
    DraftRefused,
    NothingDrafted,
    NothingSigned,
    RepositoryExists,
    RepositoryMissing,
    WrongKey,
)
from signing.keys import KeyRole, load_signer, public_path, read_public_key, tuf_key
from signing.metadata import SHA256, read_root, read_targets, releases_of, signed_artifacts, whole_seconds
from signing.verification import Verified, check_artifact, check_targets_signed, verify_repository

if TYPE_CHECKING:
    from pathlib import Path

    from tuf.api.metadata import Metadata, Root, TargetFile, Targets

    from contracts.ids import Digest
    from contracts.release import Release, ReleasedArtifact
    from signing.keys import PublicKey

ROOT_LIFETIME = timedelta(days=365)
TARGETS_LIFETIME = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """An opened repository; ``create`` or ``open`` makes one."""

    folder: Path

    @classmethod
    def create(
        cls,
        folder: Path,
        keys: Path,
        *,
        passphrase: str,
        online: PublicKey,
        now: datetime,
        lifetime: timedelta = ROOT_LIFETIME,
    ) -> Repository:
        """Make a repository whose first root names the keys in ``keys`` and the server's online key.

        Raises:
            RepositoryExists: there is one already; nothing was written.
            SigningKeyError: a key is missing or does not open.
        """
        repository = cls(folder=folder)
        if repository.root_path.exists():
            raise RepositoryExists(f"{folder} is a release repository already; choose another folder")
        root = _first_root(keys, online, expires=whole_seconds(now) + lifetime)
        signature = root.sign(load_signer(keys, KeyRole.ROOT, passphrase))
        if signature.keyid not in root.signed.roles["root"].keyids:
            raise WrongKey(f"root.pem and root.pub.json in {keys} are not one key; copy both from the same place")
        data = root.to_bytes()
        for name in ("metadata", "artifacts", "indexes"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_durably(repository.numbered_root_path(1), data)
        write_durably(repository.root_path, data)
        return repository

    @classmethod
    def open(cls, folder: Path) -> Repository:
        """Return the repository in the folder.

        Raises:
            RepositoryMissing: there is none.
        """
        repository = cls(folder=folder)
        if not repository.root_path.is_file():
            raise RepositoryMissing(f"{folder} is no release repository; make one with 'edgeship release init'")
        return repository

    @property
    def root_path(self) -> Path:
        """Where the newest root metadata lie."""
        return self.folder / "metadata" / "root.json"

    @property
    def targets_path(self) -> Path:
        """Where the signed releases are listed."""
        return self.folder / "metadata" / "targets.json"

    def numbered_root_path(self, version: int) -> Path:
        """Return where that version of root lies."""
        return self.folder / "metadata" / f"{version}.root.json"

    def artifact_path(self, digest: Digest) -> Path:
        """Return where the artifact's bytes lie."""
        return self.folder / "artifacts" / f"{digest}.artifact"

    def index_path(self, digest: Digest) -> Path:
        """Return where the encoded chunk index lies."""
        return self.folder / "indexes" / f"{digest}.cbor"

    def drafted(self) -> tuple[ReleasedArtifact, ...]:
        """Return what waits for a signature."""
        return read_draft(self._draft_path).artifacts

    def releases(self) -> tuple[Release, ...]:
        """Return what is signed, as the metadata say; ``verify`` tells whether it is so."""
        return releases_of(self._signed())

    def draft(self, path: Path, *, chunk_bytes: int = DEFAULT_CHUNK_BYTES) -> ReleasedArtifact:
        """Take the artifact file into the repository, to be signed later, and return what will be signed.

        It will travel in chunks of ``chunk_bytes`` bytes, the last one shorter.

        Raises:
            DraftRefused: no artifact, its release is signed already, or its counter does not grow.
        """
        try:
            data = path.read_bytes()
            artifact, index = describe(read_artifact(data), data, chunk_bytes=chunk_bytes)
        except OSError as error:
            raise DraftRefused(
                f"cannot read {path}: {error.strerror}; give a file of 'edgeship recipe pack'"
            ) from error
        except ArtifactError as error:
            raise DraftRefused(f"{path}: {error}") from error
        draft = admit(artifact, read_draft(self._draft_path), self._signed())
        write_durably(self.artifact_path(artifact.digest), data)
        write_durably(self.index_path(artifact.custom.index), encode(index))
        write_draft(self._draft_path, draft)
        return artifact

    def sign(
        self,
        keys: Path,
        *,
        passphrase: str,
        now: datetime,
        lifetime: timedelta = TARGETS_LIFETIME,
        renew: bool = False,
    ) -> tuple[Release, ...]:
        """Sign what is drafted, on top of what was signed before, and return the releases that are new.

        ``renew`` signs even where nothing is drafted: the same releases for a new lifetime.

        Raises:
            NothingDrafted: there is no draft and ``renew`` was not asked for.
            WrongKey: the key opens, but root names another one for targets.
            SigningKeyError: the key is missing or does not open.
        """
        before = self._signed()
        draft = Draft()
        for artifact in sorted(self.drafted(), key=lambda one: one.custom.counter):
            check_artifact(self, artifact)
            draft = admit(artifact, draft, before)
        if not draft.artifacts and not renew:
            raise NothingDrafted("nothing is drafted; add artifacts with 'edgeship release draft ARTIFACT'")
        self._sign_targets(draft, keys=keys, passphrase=passphrase, expires=whole_seconds(now) + lifetime)
        write_draft(self._draft_path, Draft())
        return releases_of(draft.artifacts)

    def verify(self, now: datetime) -> Verified:
        """Check everything in the repository against the root's signatures; see ``verify_repository``."""
        return verify_repository(self, now)

    def root_paths(self) -> tuple[Path, ...]:
        """Return the files of all versions of root, first to newest."""
        newest = read_root(self.root_path).signed.version
        return tuple(self.numbered_root_path(version) for version in range(1, newest + 1))

    def targets(self) -> Metadata[Targets]:
        """Return the targets metadata, not verified.

        Raises:
            NothingSigned: nothing was signed yet.
        """
        if not self.targets_path.exists():
            raise NothingSigned(f"nothing is signed in {self.folder}; run 'edgeship release sign' first")
        return read_targets(self.targets_path)

    @property
    def _draft_path(self) -> Path:
        return self.folder / "draft.json"

    def _signed(self) -> tuple[ReleasedArtifact, ...]:
        if not self.targets_path.exists():
            return ()
        return signed_artifacts(read_targets(self.targets_path).signed)

    def _sign_targets(self, draft: Draft, *, keys: Path, passphrase: str, expires: datetime) -> None:
        from tuf.api.metadata import Metadata, Targets

        signer = load_signer(keys, KeyRole.TARGETS, passphrase)
        root = read_root(self.root_path).signed
        if signer.public_key.keyid not in root.roles[Targets.type].keyids:
            raise WrongKey(
                f"{keys} holds targets key {signer.public_key.keyid[:16]}, which root does not name; "
                f"sign with the keys that made {self.folder}"
            )
        if self.targets_path.exists():
            metadata = read_targets(self.targets_path)
            check_targets_signed(root, metadata, self.targets_path)
            metadata.signed.version += 1
        else:
            metadata = Metadata(Targets(version=1))
        metadata.signed.expires = expires
        for artifact in draft.artifacts:
            metadata.signed.targets[artifact.path] = _target_file(artifact)
        metadata.sign(signer)
        write_durably(self.targets_path, metadata.to_bytes())


def _first_root(keys: Path, online: PublicKey, *, expires: datetime) -> Metadata[Root]:
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

    root = Root(version=1, expires=expires, consistent_snapshot=False)
    offline = {role: tuf_key(read_public_key(public_path(keys, role))) for role in KeyRole}
    root.add_key(offline[KeyRole.ROOT], Root.type)
    root.add_key(offline[KeyRole.TARGETS], Targets.type)
    for role in (Snapshot.type, Timestamp.type):
        root.add_key(tuf_key(online), role)
    return Metadata(root)


def _target_file(artifact: ReleasedArtifact) -> TargetFile:
    from tuf.api.metadata import TargetFile

    return TargetFile(
        length=artifact.length,
        hashes={SHA256: artifact.digest},
        path=artifact.path,
        unrecognized_fields={"custom": to_plain(artifact.custom)},
    )
