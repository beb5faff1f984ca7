"""Writing so that a power cut leaves the old bytes or the new ones, never half.

Everything that the update path writes goes through a ``Disk``, so that a test can fill it or cut the
power at the n-th write.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """The few ways in which the update path touches the disk."""

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        """Make the file hold exactly these bytes, durably and all at once, with at most those permissions."""
        ...

    def reserve(self, path: Path, length: int) -> None:
        """Make the file exist with at least ``length`` bytes that are really there."""
        ...

    def write_at(self, path: Path, data: bytes, offset: int) -> None:
        """Put the bytes at ``offset`` of an existing file; they outlive a power cut from the next ``sync`` on."""
        ...

    def sync(self, path: Path) -> None:
        """Make what was put into the file durable."""
        ...

    def move(self, source: Path, target: Path) -> None:
        """Move a file within the state folder, durably and all at once."""
        ...

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder and what is in it; nothing happens where there is none."""
        ...

    def free_bytes(self, folder: Path) -> int:
        """Return how many bytes may still be written there."""
        ...


class SystemDisk:
    """The machine's own disk."""

    def write(self, path: Path, data: bytes, *, mode: int = 0o666) -> None:
        """Write a temporary file, fsync it, rename it over ``path``, fsync the folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.new")
        temporary.unlink(missing_ok=True)  # one that a power cut left may have other permissions
        try:
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def reserve(self, path: Path, length: int) -> None:
        """Allocate the blocks now: a full disk shows before the first byte is fetched."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if length > os.fstat(descriptor).st_size:
                os.posix_fallocate(descriptor, 0, length)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(path.parent)

    def write_at(self, path: Path, data: bytes, offset: int) -> None:
        """Write in place."""
        descriptor = os.open(path, os.O_WRONLY)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        """Call fdatasync."""
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def move(self, source: Path, target: Path) -> None:
        """Rename and fsync both folders."""
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        _sync_folder(target.parent)
        _sync_folder(source.parent)

    def remove_tree(self, folder: Path) -> None:
        """Remove what is there."""
        if folder.exists():
            shutil.rmtree(folder)

    def free_bytes(self, folder: Path) -> int:
        """Ask the file system."""
        return shutil.disk_usage(folder).free


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
