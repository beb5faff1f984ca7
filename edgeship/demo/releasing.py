"""Step 3: artifacts, keys and signatures, on the release engineer's side. The server never sees these keys."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.ids import ProfileName, ReleaseId
from contracts.manifest import Budget
from edgeship.demo.optimizing import MODEL

if TYPE_CHECKING:
    from contracts.release import Release
    from optimizer.data.dataset import Dataset
    from optimizer.search.candidate import Candidate
    from signing.repository import Repository

CHUNK_BYTES = 2048
"""Small on purpose: the demo's artifacts are about 100 KB and must travel in at least 30 chunks."""
LATENCY_BUDGET_MS = 15.0
"""What the product allows one request on the device, p95; generous, since eight processes share this machine."""
MEMORY_BUDGET_BYTES = 64_000_000
GOLDEN_ROWS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDesk:
    """The release engineer's folder: keys, repository, artifacts and the passphrase (in memory alone)."""

    folder: Path
    passphrase: str

    @classmethod
    def open(cls, folder: Path) -> ReleaseDesk:
        """Return the desk in a new folder, with a passphrase drawn for this run."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder=folder, passphrase=secrets.token_urlsafe(24))

    @property
    def keys(self) -> Path:
        """Where root's and targets' keys lie, encrypted."""
        return self.folder / "keys"

    @property
    def repository(self) -> Repository:
        """The release repository."""
        from signing.repository import Repository

        return Repository.open(self.folder / "releases")

    @property
    def director_root(self) -> Path:
        """The director's root file, which devices and the server trust first, beside the model repository's."""
        return self.repository.director_root_path

    def set_up(self, online_key: Path) -> Path:
        """Make keys and a repository whose two roots name the server's keys; return the model repository's root file.

        The director's public key lies beside ``online_key``; its root file is ``director_root``.
        """
        from signing.keys import init_keys, read_public_key
        from signing.repository import Repository

        init_keys(self.keys, self.passphrase)
        repository = Repository.create(
            self.folder / "releases",
            self.keys,
            passphrase=self.passphrase,
            online=read_public_key(online_key),
            director=read_public_key(online_key.with_name("director.pub.json")),
            now=datetime.now(UTC),
        )
        return repository.root_path

    def sign(self, *artifacts: Path) -> tuple[Release, ...]:
        """Draft and sign the artifacts; return the releases that are new."""
        for artifact in artifacts:
            self.repository.draft(artifact, chunk_bytes=CHUNK_BYTES)
        return self.repository.sign(self.keys, passphrase=self.passphrase, now=datetime.now(UTC))

    def artifact_path(self, version: str, profile: ProfileName) -> Path:
        """Return where the artifact of that version for that profile lies."""
        return self.folder / "artifacts" / f"{MODEL}-{version}-{profile}.artifact"

    def pack(self, candidate: Candidate, dataset: Dataset, *, version: str, counter: int, profile: ProfileName) -> Path:
        """Pack the candidate into an artifact file of that version for that profile; return its path."""
        from optimizer.packing import pack

        data = pack(
            candidate,
            version=version,
            counter=counter,
            profile=profile,
            dataset=dataset,
            budget=Budget(latency_p95_ms=LATENCY_BUDGET_MS, memory_bytes=MEMORY_BUDGET_BYTES),
            labels=tuple(str(digit) for digit in range(10)),
            golden_rows=GOLDEN_ROWS,
        )
        path = self.artifact_path(version, profile)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


def release_of(version: str) -> ReleaseId:
    """Return the id of that version of the demo's model."""
    return ReleaseId(f"{MODEL}@{version}")
