"""From an offered release to a pinned plan: only what both repositories name, freshly verified [wire-4.2].

The director comes first: its timestamp answers the nonce of this very refresh, and everything else is judged by that
time. Expiry and floors stop installs; what runs goes on running, and a plan that is pinned in the journal is carried
out without being judged again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from contracts.ids import split_release_id
from contracts.metadata import RepositoryName
from edge_agent.state_folder import StateFolder
from edge_agent.trust.decision import agreed, check_fits
from edge_agent.trust.director import answered_time, assigned_path, check_assignment
from edge_agent.trust.memory import TIME, Memory, MemoryFiles, floor_of
from edge_agent.trust.repository import Repository
from edge_agent.trust.teams import owner_of, signed_floors, team_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import DelegatedRole, TargetFile, Targets

    from contracts.ids import ModelName, ReleaseId
    from contracts.release import ReleasedArtifact
    from edge_agent.config import AgentConfig
    from edge_agent.disk import Disk
    from edge_agent.trust.decision import Subject
    from edge_agent.trust.source import MetadataSource


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPlaces:
    """Where trust begins, and the folder of what was verified: both repositories' files and the memory."""

    models_root: Path
    director_root: Path
    folder: Path

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """Return the places that the configuration names."""
        folder = StateFolder(config.state_dir).metadata
        return cls(models_root=config.trust_root, director_root=config.director_root, folder=folder)

    def open(self, name: RepositoryName, disk: Disk) -> Repository:
        """Return the repository as far as it was verified here.

        Raises:
            ConfigError: its configured root cannot be used.
        """
        root = self.models_root if name is RepositoryName.MODELS else self.director_root
        return Repository(name, root, self.folder / name, disk)

    def check_roots(self, disk: Disk) -> None:
        """Return where both configured roots can be used.

        Raises:
            ConfigError: one cannot.
        """
        for name in RepositoryName:
            self.open(name, disk)


class Trust:
    """What one device believes."""

    def __init__(
        self, places: TrustPlaces, subject: Subject, disk: Disk, *, key: bytes, nonces: Callable[[], bytes]
    ) -> None:
        """Take the HMAC key of the memory (see ``memory_key``) and a source of nonces, NONCE_BYTES each."""
        self._places = places
        self._subject = subject
        self._disk = disk
        self._nonces = nonces
        self._files = MemoryFiles(places.folder, disk, key)

    def plan(self, source: MetadataSource, release: ReleaseId) -> ReleasedArtifact:
        """Return the release's artifact for this device, as both repositories name it now.

        Raises:
            Refused: one of them is not to be trusted, they do not agree, or it is not for this device; each
                subclass and ``code`` is one reason.
            MetadataMissing: the source lacks a file that must exist.
            ConfigError: a configured root cannot be used.
            OSError: the disk refuses.
        """
        memory = self._files.load()
        if self._files.is_new():
            memory = self._files.keep(memory)  # before anything else lies there: from now on a lost memory is noticed
        path, named, now, memory = self._ask_director(source, release, memory)
        memory = self._files.keep(memory)
        released, memory = self._ask_models(source, path, now=now, memory=memory)
        memory = self._files.keep(memory)
        artifact = agreed(path, named, released)
        check_fits(artifact, self._subject, floor=memory.floors.get(split_release_id(release)[0], 0))
        return artifact

    def floors(self) -> Mapping[ModelName, int]:
        """Return the lowest counter of each model that may still be installed, as far as is known without a server.

        Raises:
            MemoryDamaged: nobody knows.
        """
        return self._files.load().floors

    def _ask_director(
        self, source: MetadataSource, release: ReleaseId, memory: Memory
    ) -> tuple[str, TargetFile, datetime, Memory]:
        """Return path and target that the director names, and the time by which all is judged."""
        director = self._places.open(RepositoryName.DIRECTOR, self._disk)
        memory = director.update_root(source, memory)
        nonce = self._nonces()
        data, fields = director.ask_timestamp(source, nonce=nonce)
        memory, now = _told_time(memory, answered_time(fields, self._subject, nonce), director.keys("timestamp"))
        director.judge_at(now)
        memory = director.update_timestamp(data, memory)
        memory = director.update_snapshot(source, memory)
        targets, memory = director.update_targets(source, memory)
        check_assignment(targets.unrecognized_fields, self._subject)
        path = assigned_path(targets.targets, release)
        return path, targets.targets[path], now, memory

    def _ask_models(
        self, source: MetadataSource, path: str, *, now: datetime, memory: Memory
    ) -> tuple[TargetFile | None, Memory]:
        """Return what the model repository says of the path (None: nothing), its floors remembered."""
        models = self._places.open(RepositoryName.MODELS, self._disk)
        memory = models.update_root(source, memory)
        models.judge_at(now)
        memory = models.update_timestamp(models.ask_timestamp(source)[0], memory)
        memory = models.update_snapshot(source, memory)
        top, memory = models.update_targets(source, memory)
        vouching = Vouching(top, models.keys("targets"))
        memory = vouching.raise_floors(memory.settled(vouching.keys), top)
        found, team = top.targets.get(path), team_for(top, path)
        if team is None:
            return found, memory
        own, memory = models.update_team(source, team, memory)
        return found or own.targets.get(path), vouching.raise_floors(memory, own, team)


def _told_time(memory: Memory, answered: datetime, keys: tuple[str, ...]) -> tuple[Memory, datetime]:
    """Return the memory of the time, and the time to judge by: the answer, but never before the largest one seen."""
    memory = memory.raised(TIME, int(answered.timestamp()), keys=keys)
    remembered = memory.last_trusted_time
    return memory, max(answered, remembered) if remembered else answered


@dataclass(frozen=True, slots=True)
class Vouching:
    """Whose keys may state a model's floor today: those of the top targets, and of the team that owns the model."""

    top: Targets
    top_keys: tuple[str, ...]

    def keys(self, model: ModelName) -> set[str]:
        """Return the key ids for the model."""
        owner = owner_of(self.top, model)
        return {*self.top_keys, *(owner.keyids if owner else ())}

    def raise_floors(self, memory: Memory, stated: Targets, team: DelegatedRole | None = None) -> Memory:
        """Return the memory with what the top targets state, or the team's of the models that are its own."""
        signers = team.keyids if team else self.top_keys
        for model, counter in signed_floors(stated).items():
            owner = owner_of(self.top, model)
            if team is None or (owner is not None and owner.name == team.name):
                memory = memory.raised(floor_of(model), counter, keys=signers, among=self.keys(model))
        return memory
