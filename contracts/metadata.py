"""Signed metadata, chunk indexes and news of deltas over MQTT: asked for by name, answered in parts.

``root``, ``timestamp``, ``snapshot`` and ``targets`` are the TUF roles of one of two repositories; ``index`` is a
chunk index, asked for by its digest. The answer needs no trust: the asker checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class RepositoryName(StrEnum):
    """Which of the two TUF repositories: a device runs only what both name."""

    MODELS = "models"
    """What is released, for all devices; signed offline."""
    DIRECTOR = "director"
    """What one device should run now; signed online, for that device alone."""


class MetadataName(StrEnum):
    """What can be asked for."""

    ROOT = "root"
    TIMESTAMP = "timestamp"
    SNAPSHOT = "snapshot"
    TARGETS = "targets"
    INDEX = "index"
    DELTA = "delta"


PART_BYTES = 64 * 1024
NONCE_BYTES = 16

LIMITS_BYTES: Mapping[MetadataName, int] = {
    MetadataName.ROOT: 256_000,
    MetadataName.TIMESTAMP: 16_384,
    MetadataName.SNAPSHOT: 256_000,
    MetadataName.TARGETS: 4_000_000,
    MetadataName.INDEX: 4_000_000,
    MetadataName.DELTA: 16_384,
}
"""Longest file of each name [wire-5.7]: what a server lets in is what a device can take."""

DEPTH_LIMIT = 16
"""Levels of maps and lists in signed metadata; the deepest of ours have 7 [wire-9.1]."""
NUMBER_LIMIT = 2**53
"""Whole numbers are below it: every language and our own memory of versions counts so far exactly [wire-9.1]."""
TEAMS_LIMIT = 32
"""Teams that top targets delegate to [wire-9.2]."""
PATHS_LIMIT = 64
"""Path patterns of one team."""
FLOORS_LIMIT = 256
"""Models that one role states a security floor for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRequest:
    """Device to server: the named file.

    For TUF roles: ``repository``, ``version`` (0: the newest), with ``targets`` also ``team`` (a delegated role; empty:
    the top one), and with the director's timestamp a ``nonce`` of NONCE_BYTES bytes, which the answer signs.
    ``digest`` is that of a chunk index, or with ``delta`` of the wanted artifact, and ``base`` of the one that is here.
    """

    name: MetadataName
    request: int
    version: int = 0
    digest: str = ""
    repository: RepositoryName = RepositoryName.MODELS
    team: str = ""
    nonce: bytes = b""
    base: str = ""
    schema: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataAnswer:
    """Server to device: part ``part`` of ``parts``; ``parts`` is 0 where there is no such file.

    ``request`` repeats the number of the request.
    """

    name: MetadataName
    request: int
    part: int
    parts: int
    data: bytes
    schema: int = 1
