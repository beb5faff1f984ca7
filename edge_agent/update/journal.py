"""What the update was about to do, on disk before it is done.

One entry, replaced as a whole: a reader finds the old entry or the new one. The first 64 characters
are the SHA-256 of the rest, so a damaged file is known for what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.codec import decode, encode
from contracts.errors import DecodeError
from contracts.ids import digest_of
from contracts.release import ReleasedArtifact
from contracts.update import Offer
from edge_agent.errors import JournalCorrupt
from edge_agent.update.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.disk import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where the update stands.

    ``offer`` is the newest one taken up (none yet: None); ``pinned`` what the signed metadata said when it
    was planned: expiry in the middle of an update changes nothing. ``restarts`` counts
    power-ons in this state without progress. ``code`` and ``detail`` say why it is being reverted.
    """

    state: State
    offer: Offer | None = None
    pinned: ReleasedArtifact | None = None
    restarts: int = 0
    code: str = ""
    detail: str = ""
    schema: int = 1

    @property
    def generation(self) -> int:
        """The newest generation taken up; older and equal offers are no news."""
        return self.offer.generation if self.offer else 0


class Journal:
    """The entry's file."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def read(self) -> Entry:
        """Return the entry; a device that never updated is idle.

        Raises:
            JournalCorrupt: the file is damaged.
        """
        if not self._path.exists():
            return Entry(state=State.IDLE)
        data = self._path.read_bytes()
        if digest_of(data[64:]).encode() != data[:64]:
            raise JournalCorrupt(f"journal {self._path} is damaged; it is set aside and the last good release serves")
        try:
            return decode(Entry, data[64:])
        except DecodeError as error:
            raise JournalCorrupt(f"journal {self._path} cannot be read: {error}") from error

    def write(self, entry: Entry) -> None:
        """Make the entry the one that a restart finds."""
        body = encode(entry)
        self._disk.write(self._path, digest_of(body).encode() + body)

    def set_aside(self) -> None:
        """Keep a damaged journal for a person to look at, out of the way."""
        self._path.replace(self._path.with_suffix(".damaged"))
