"""Disks that fail when told to; else they are the real one."""

from __future__ import annotations

import errno
from pathlib import Path

from edge_agent.disk import SystemDisk


class PowerCut(BaseException):
    """The machine is off: nothing after this line happened."""


class CrashingDisk(SystemDisk):
    """Cuts the power before the n-th write (``after_writes`` writes happen); ``None`` never does.

    What was put into a file and not synced is gone after the cut.
    """

    def __init__(self, after_writes: int | None = None) -> None:
        self.left = after_writes
        self.writes = 0
        self.syncs = 0
        self.lost_offsets: list[int] = []
        self._unsynced: list[tuple[Path, bytes, int]] = []

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        self._count()
        super().write(path, data, mode=mode)

    def reserve(self, path: Path, length: int) -> None:
        self._count()
        super().reserve(path, length)

    def write_at(self, path: Path, data: bytes, offset: int) -> None:
        self._count()
        with path.open("rb") as file:
            file.seek(offset)
            self._unsynced.append((path, file.read(len(data)), offset))
        super().write_at(path, data, offset)

    def sync(self, path: Path) -> None:
        self._count()
        super().sync(path)
        self.syncs += 1
        self._unsynced = [lost for lost in self._unsynced if lost[0] != path]

    def move(self, source: Path, target: Path) -> None:
        self._count()
        super().move(source, target)

    def _count(self) -> None:
        if self.left == self.writes:
            self.lost_offsets += [offset for path, _, offset in self._unsynced if path.name == "data"]
            for path, before, offset in reversed(self._unsynced):
                super().write_at(path, before, offset)
            self._unsynced.clear()
            raise PowerCut
        self.writes += 1


class FullDisk(SystemDisk):
    """Has no room for files whose path holds one of the words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        self._refuse(path)
        super().write(path, data, mode=mode)

    def reserve(self, path: Path, length: int) -> None:
        self._refuse(path)
        super().reserve(path, length)

    def move(self, source: Path, target: Path) -> None:
        self._refuse(target)
        super().move(source, target)

    def _refuse(self, path: Path) -> None:
        if any(word in str(path) for word in self.words):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))


class StuckDisk(SystemDisk):
    """Lets nothing be removed."""

    def remove_tree(self, folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))


class FillingDisk(SystemDisk):
    """Is full from its n-th write on (``after_writes`` fit), until somebody makes room; ``None`` never is."""

    def __init__(self, after_writes: int | None = None) -> None:
        self.left = after_writes
        self.writes = 0

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        self._count(path)
        super().write(path, data, mode=mode)

    def reserve(self, path: Path, length: int) -> None:
        self._count(path)
        super().reserve(path, length)

    def write_at(self, path: Path, data: bytes, offset: int) -> None:
        self._count(path)
        super().write_at(path, data, offset)

    def move(self, source: Path, target: Path) -> None:
        self._count(target)
        super().move(source, target)

    def _count(self, path: Path) -> None:
        if self.left is not None and self.writes >= self.left:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        self.writes += 1
