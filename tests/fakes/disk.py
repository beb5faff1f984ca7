"""Disks that fail when told to; else they are the real one."""

from __future__ import annotations

import errno
from pathlib import Path

from edge_agent.disk import SystemDisk


class PowerCut(BaseException):
    """The machine is off: nothing after this line happened."""


class CrashingDisk(SystemDisk):
    """Cuts the power before the n-th write (``after_writes`` writes happen); ``None`` never does."""

    def __init__(self, after_writes: int | None = None) -> None:
        self.left = after_writes
        self.writes = 0

    def write(self, path: Path, data: bytes) -> None:
        self._count()
        super().write(path, data)

    def reserve(self, path: Path, length: int) -> None:
        self._count()
        super().reserve(path, length)

    def write_at(self, path: Path, data: bytes, offset: int) -> None:
        self._count()
        super().write_at(path, data, offset)

    def move(self, source: Path, target: Path) -> None:
        self._count()
        super().move(source, target)

    def _count(self) -> None:
        if self.left == self.writes:
            raise PowerCut
        self.writes += 1


class FullDisk(SystemDisk):
    """Has no room for files whose path holds one of the words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def write(self, path: Path, data: bytes) -> None:
        self._refuse(path)
        super().write(path, data)

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
