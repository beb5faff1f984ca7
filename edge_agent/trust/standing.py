"""What a device believes, at one look: for the person beside it. Reads the state folder only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.metadata import RepositoryName
from edge_agent.disk import SystemDisk
from edge_agent.trust.errors import MemoryDamaged
from edge_agent.trust.memory import Memory, MemoryFiles, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from contracts.ids import ModelName
    from edge_agent.trust.trust import TrustPlaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Versions that are believed (0: none yet), floors by model, and the last time that the director answered.

    ``problem`` says why nothing can be installed, where the memory is damaged; then the rest of it is empty.
    """

    models_root: int
    director_root: int
    director_version: int
    floors: Mapping[ModelName, int]
    last_trusted_time: datetime | None
    problem: str = ""


def read_standing(places: TrustPlaces, key: bytes) -> Standing:
    """Return what is believed there; ``key`` is that of the memory (see ``memory_key``).

    Raises:
        ConfigError: a configured root cannot be used.
    """
    disk, problem = SystemDisk(), ""
    try:
        memory = MemoryFiles(places.folder, disk, key).load()
    except MemoryDamaged as error:
        memory, problem = Memory(), str(error)
    director = memory.marks.get(version_of(RepositoryName.DIRECTOR, "targets"))
    return Standing(
        models_root=places.open(RepositoryName.MODELS, disk).root_version,
        director_root=places.open(RepositoryName.DIRECTOR, disk).root_version,
        director_version=director.value if director else 0,
        floors=memory.floors,
        last_trusted_time=memory.last_trusted_time,
        problem=problem,
    )
