"""The release repository: a folder that release engineers keep, copy and sign in turn.

    metadata/N.root.json, root.json    the keys of the model repository's roles; root.json is the newest
    metadata/targets.json, TEAM.json   what is released, signed with the keys of targets, or of a team
    director/N.root.json, root.json    the keys of the director: the server's, named by an offline root of its own
    pending/models/, pending/director/ what waits for more signatures; never published
    artifacts/DIGEST.artifact          the bytes of each release
    indexes/DIGEST.cbor                how they are cut into chunks
    draft.json                         what waits to be signed; nobody has to trust it

Draft and sign are two steps, so that a machine that packs models needs no key. Snapshot and
timestamp are the server's: root names its online key for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from contracts.artifact import read_artifact
from contracts.chunks import DEFAULT_CHUNK_BYTES
from contracts.codec import encode
from contracts.errors import ArtifactError
from contracts.metadata import RepositoryName
from signing.draft import Draft, admit, describe, read_draft, write_draft
from signing.durable_file import write_durably
from signing.errors import DraftRefused, NothingSigned, RepositoryMissing
from signing.metadata import (
    as_listing,
    floors_of,
    read_root,
    read_signed,
    read_targets,
    releases_of,
    signed_artifacts,
    teams_of,
)
from signing.places import MODELS_ROOT, ROOTS, TARGETS, Place, team_place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuf.api.metadata import Metadata, Root, Targets

    from contracts.ids import Digest
    from contracts.release import Release, ReleasedArtifact
    from signing.keys import PublicKey
    from signing.metadata import Signed
    from signing.verification import Verified

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
        director: PublicKey,
        now: datetime,
        lifetime: timedelta = ROOT_LIFETIME,
    ) -> Repository:
        """Make a repository of one person: its roots name the keys in ``keys`` and the server's two, and are in force.

        Raises:
            RepositoryExists: there is one already; nothing was written.
            SigningKeyError: a key is missing or does not open.
        """
        from signing.ceremony.founding import Founding, found
        from signing.ceremony.gathering import open_signers

        founding = Founding.by_one(keys, online=online, director=director)
        signers = open_signers(keys, passphrase, keyids=founding.root_keyids)
        return found(cls(folder=folder), founding, signers=signers, now=now, lifetime=lifetime)

    @classmethod
    def open(cls, folder: Path) -> Repository:
        """Return the repository in the folder.

        Raises:
            RepositoryMissing: there is none.
        """
        repository = cls(folder=folder)
        if not repository.exists():
            raise RepositoryMissing(f"{folder} is no release repository; make one with 'edgeship release init'")
        return repository

    def exists(self) -> bool:
        """Return whether the folder holds a repository, be its first root signed or not yet; that is written last."""
        return self.path(MODELS_ROOT).is_file() or self.pending_path(MODELS_ROOT).is_file()

    @property
    def root_path(self) -> Path:
        """Where the newest root of the model repository lies."""
        return self.folder / "metadata" / "root.json"

    @property
    def director_root_path(self) -> Path:
        """Where the newest root of the director lies."""
        return self.folder / "director" / "root.json"

    @property
    def targets_path(self) -> Path:
        """Where the signed releases are listed that no team owns."""
        return self.folder / "metadata" / "targets.json"

    def path(self, place: Place) -> Path:
        """Return where that signed file lies when it is in force."""
        parent = "metadata" if place.repository is RepositoryName.MODELS else "director"
        return self.folder / parent / f"{place.role}.json"

    def pending_path(self, place: Place) -> Path:
        """Return where that file waits for signatures."""
        return self.folder / "pending" / place.repository / f"{place.role}.json"

    def numbered_root_path(self, version: int, place: Place = MODELS_ROOT) -> Path:
        """Return where that version of root lies."""
        return self.path(place).with_name(f"{version}.root.json")

    def artifact_path(self, digest: Digest) -> Path:
        """Return where the artifact's bytes lie."""
        return self.folder / "artifacts" / f"{digest}.artifact"

    def index_path(self, digest: Digest) -> Path:
        """Return where the encoded chunk index lies."""
        return self.folder / "indexes" / f"{digest}.cbor"

    def root_paths(self, place: Place = MODELS_ROOT) -> tuple[Path, ...]:
        """Return the files of all versions of root, first to newest; none where the first is not signed yet."""
        newest = self.installed_root(place)
        versions = range(1, newest.version + 1) if newest else ()
        return tuple(self.numbered_root_path(version, place) for version in versions)

    def installed(self, place: Place) -> Signed | None:
        """Return what is in force there, not verified; None where nothing is yet."""
        return self._read(place, self.path(place))

    def pending(self, place: Place) -> Signed | None:
        """Return what waits for signatures there; None where nothing does."""
        return self._read(place, self.pending_path(place))

    def installed_root(self, place: Place) -> Root | None:
        """Return that root in force, not verified."""
        return read_root(self.path(place)).signed if self.path(place).is_file() else None

    def newest_targets(self, place: Place) -> Targets | None:
        """Return what that listing says, or will say once it is signed."""
        for path in (self.pending_path(place), self.path(place)):
            if path.is_file():
                return read_targets(path).signed
        return None

    def listings(self) -> tuple[Place, ...]:
        """Return the places that list releases: the top targets, and each team that they name or will name."""
        known = (self.installed(TARGETS), self.pending(TARGETS))
        teams = {team for metadata in known if metadata for team in teams_of(as_listing(metadata))}
        return (TARGETS, *(team_place(team) for team in sorted(teams)))

    def places(self) -> tuple[Place, ...]:
        """Return every place in which something may be signed, those that others rest on first."""
        return (*ROOTS, *self.listings())

    def targets(self) -> Metadata[Targets]:
        """Return the top targets, not verified.

        Raises:
            NothingSigned: nothing was signed yet.
        """
        if not self.targets_path.exists():
            raise NothingSigned(f"nothing is signed in {self.folder}; run 'edgeship release sign' first")
        return read_targets(self.targets_path)

    def drafted(self) -> tuple[ReleasedArtifact, ...]:
        """Return what was drafted and stands in no listing yet."""
        listed = self.listed()
        return tuple(artifact for artifact in read_draft(self.draft_path).artifacts if artifact not in listed)

    def releases(self) -> tuple[Release, ...]:
        """Return what is signed, as the metadata say; ``verify`` tells whether it is so."""
        installed = [self.installed(place) for place in self.listings()]
        return releases_of(artifact for one in installed if one for artifact in signed_artifacts(as_listing(one)))

    def listed(self) -> tuple[ReleasedArtifact, ...]:
        """Return what the listings say, or will say once they are signed."""
        return tuple(artifact for targets in self._newest() for artifact in signed_artifacts(targets))

    def floors(self) -> Mapping[str, int]:
        """Return the lowest counter of each model that devices still install, or will once it is signed."""
        return {model: floor for targets in self._newest() for model, floor in floors_of(targets).items()}

    def draft(self, path: Path, *, chunk_bytes: int = DEFAULT_CHUNK_BYTES) -> ReleasedArtifact:
        """Take the artifact file into the repository, to be signed later, and return what will be signed.

        It will travel in chunks that its content cuts, ``chunk_bytes`` bytes on average.

        Raises:
            DraftRefused: it is no artifact, its release is signed already, or its counter does not grow.
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
        draft = admit(artifact, Draft(artifacts=self.drafted()), self.listed(), floors=self.floors())
        for name in ("artifacts", "indexes"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        write_durably(self.artifact_path(artifact.digest), data)
        write_durably(self.index_path(artifact.custom.index), encode(index))
        write_draft(self.draft_path, draft)
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
        """Sign everything that waits and that ``keys`` may sign; return the releases that came into force by it.

        ``renew`` signs listings even where nothing is drafted: the same releases for a new lifetime.

        Raises:
            NothingDrafted: nothing waits and ``renew`` was not asked for.
            WrongKey: nothing that waits names one of these keys.
            SigningKeyError: the key is missing or does not open.
        """
        from signing.ceremony.gathering import open_signers, propose, sign
        from signing.keys import held_keys

        before = {release.id for release in self.releases()}
        held = frozenset(key.keyid for key in held_keys(keys).values())
        proposals = propose(self, held, now=now, lifetime=lifetime, renew=renew)
        wanted = frozenset(keyid for proposal in proposals for keyid in proposal.keyids)
        sign(self, proposals, open_signers(keys, passphrase, keyids=wanted))
        return tuple(release for release in self.releases() if release.id not in before)

    def verify(self, now: datetime) -> Verified:
        """Check everything in the repository against the first roots; see ``verify_repository``."""
        from signing.verification import verify_repository

        return verify_repository(self, now)

    @property
    def draft_path(self) -> Path:
        """Where it is noted what waits to be signed."""
        return self.folder / "draft.json"

    def _newest(self) -> tuple[Targets, ...]:
        newest = (self.newest_targets(place) for place in self.listings())
        return tuple(targets for targets in newest if targets is not None)

    @staticmethod
    def _read(place: Place, path: Path) -> Signed | None:
        return read_signed(place, path) if path.is_file() else None
