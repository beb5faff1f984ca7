"""Signed metadata and chunk indexes over MQTT: asked for by name, answered in parts.

``root``, ``timestamp``, ``snapshot`` and ``targets`` are the TUF roles; ``index`` is a chunk index,
asked for by its digest. The answer needs no trust: the asker checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MetadataName(StrEnum):
    """What can be asked for."""

    ROOT = "root"
    TIMESTAMP = "timestamp"
    SNAPSHOT = "snapshot"
    TARGETS = "targets"
    INDEX = "index"


PART_BYTES = 64 * 1024

LIMITS_BYTES: Mapping[MetadataName, int] = {
    MetadataName.ROOT: 256_000,
    MetadataName.TIMESTAMP: 16_384,
    MetadataName.SNAPSHOT: 256_000,
    MetadataName.TARGETS: 4_000_000,
    MetadataName.INDEX: 4_000_000,
}
"""Longest file of each name [wire-5.7]: what a server lets in is what a device can take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRequest:
    """Device to server: the named file. ``version`` for TUF roles (0: the newest), ``digest`` for an index."""

    name: MetadataName
    request: int
    version: int = 0
    digest: str = ""
    schema: int = 1


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
