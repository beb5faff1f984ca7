"""The largest numbers that this device has ever believed: versions, security floors, and the time [wire-9.3].

A mark only rises, and it belongs to the keys that vouched for it: when a root replaces one of those, the mark is
forgotten. Else whoever stole a key once could sign the year 2099 or version 2**31, and bar every later install.

    METADATA/memory-a, memory-b     the same marks twice: an HMAC-SHA256 (32 bytes) and the canonical CBOR

The HMAC's key comes from the device's own key: a copy from another device, or an edited one, does not count. One
damaged copy costs nothing. Where both are damaged nothing is installed until a person decides: it never starts over by
itself.

>>> memory = Memory().raised("models/timestamp", 7, keys=("old",))
>>> memory.held("models/timestamp", ("old", "new")), memory.held("models/timestamp", ("new",))
(7, 0)
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from contracts.codec import decode, encode
from contracts.errors import DecodeError
from contracts.ids import ModelName
from contracts.metadata import RepositoryName
from edge_agent.trust.errors import MemoryDamaged

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.disk import Disk

COPIES = ("memory-a", "memory-b")
MEMORY_LIMIT_BYTES = 1024 * 1024
TIME = "time"

_FLOOR = "floor/"
_HMAC_BYTES = 32
_PURPOSE = b"edgeship trust memory 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The largest value seen, and the ids of the keys that it belongs to (none: it is never forgotten)."""

    value: int
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All marks by name; ``serial`` grows with each time that it was kept."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    serial: int = 0
    schema: int = 1

    def held(self, name: str, keys: Iterable[str] = ()) -> int:
        """Return the mark's value; 0 where there is none, or where one of its keys is not among ``keys`` any more."""
        mark = self.marks.get(name)
        return mark.value if mark is not None and set(mark.keys) <= set(keys) else 0

    def raised(self, name: str, value: int, *, keys: Iterable[str] = (), among: Iterable[str] = ()) -> Memory:
        """Return the memory with the mark at least at ``value``, which belongs to ``keys``.

        ``among`` are all key ids that may vouch for it today, where those are more than ``keys``.
        """
        keys = tuple(sorted(keys))
        if value <= self.held(name, {*keys, *among}) and name in self.marks:
            return self
        return dataclasses.replace(self, marks={**self.marks, name: Mark(value=value, keys=keys)})

    def settled(self, vouching: Callable[[ModelName], Iterable[str]]) -> Memory:
        """Return the memory without the floors whose keys may not vouch for their model any more."""
        lost = {
            floor_of(model)
            for model in self.floors
            if not set(self.marks[floor_of(model)].keys) <= set(vouching(model))
        }
        return dataclasses.replace(self, marks={name: mark for name, mark in self.marks.items() if name not in lost})

    @property
    def last_trusted_time(self) -> datetime | None:
        """The largest time that the director has answered."""
        return datetime.fromtimestamp(self.marks[TIME].value, UTC) if TIME in self.marks else None

    @property
    def floors(self) -> dict[ModelName, int]:
        """Lowest counter of each model that may still be installed, as far as this device knows."""
        floors = {name: mark.value for name, mark in self.marks.items() if name.startswith(_FLOOR) and mark.value}
        return {ModelName(name.removeprefix(_FLOOR)): value for name, value in sorted(floors.items())}


def floor_of(model: ModelName) -> str:
    """Return the name of the model's floor."""
    return f"{_FLOOR}{model}"


def version_of(repository: RepositoryName, role: str) -> str:
    """Return the name of a role's version."""
    return f"{repository}/{role}"


def memory_key(sign: Callable[[bytes], bytes]) -> bytes:
    """Return the HMAC key of the device whose key signs; an ed25519 signature of one text is always the same."""
    return hashlib.sha256(sign(_PURPOSE)).digest()


class MemoryFiles:
    """The two copies, in the folder of the metadata that they are about."""

    def __init__(self, folder: Path, disk: Disk, key: bytes) -> None:
        self._folder = folder
        self._disk = disk
        self._key = key

    def load(self) -> Memory:
        """Return what is remembered: the newer of the copies that are whole, empty on a device that is new.

        Raises:
            MemoryDamaged: neither copy is whole, and this device is not new.
        """
        found = [memory for copy in COPIES if (memory := self._read(copy)) is not None]
        if found:
            return max(found, key=lambda memory: memory.serial)
        if not self.is_new():
            raise MemoryDamaged(
                f"both copies of what this device has trusted, {' and '.join(COPIES)} in {self._folder}, are damaged; "
                "nothing is installed and what runs goes on. Look after the disk, then remove that folder by hand to "
                "start over from the configured roots"
            )
        return Memory()

    def is_new(self) -> bool:
        """Whether nothing was ever verified or remembered here."""
        return not self._folder.exists() or not any(
            entry.is_dir() or entry.name in COPIES for entry in self._folder.iterdir()
        )

    def keep(self, memory: Memory) -> Memory:
        """Make both copies hold these marks, one after the other; one that does is left alone.

        Raises:
            OSError: the disk refused.
        """
        kept = dataclasses.replace(memory, serial=memory.serial + 1)
        body = encode(kept)
        for copy in COPIES:
            held = self._read(copy)
            if held is None or held.marks != kept.marks:
                self._disk.write(self._folder / copy, self._hmac(body) + body)
        return kept

    def _read(self, copy: str) -> Memory | None:
        try:
            data = (self._folder / copy).read_bytes()
            whole = hmac.compare_digest(data[:_HMAC_BYTES], self._hmac(data[_HMAC_BYTES:]))
            return decode(Memory, data[_HMAC_BYTES:], limit_bytes=MEMORY_LIMIT_BYTES) if whole else None
        except (OSError, DecodeError):
            return None

    def _hmac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")
