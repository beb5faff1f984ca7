"""Bytes by digest on disk: uploads on their way in, artifacts waiting to be signed for, chunks.

    vault/incoming/       uploads being received, under random names
    vault/artifacts/      whole artifacts whose digest was checked, until signed metadata name them
    vault/chunks/aa/      chunks of released artifacts, by their digest

A file appears under its final name only when its bytes are complete, checked and on disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from contracts.artifact import HEADER_LIMIT_BYTES
from contracts.ids import Digest, digest_of
from fleet_server.errors import BytesDiffer, BytesMissing, DataDirUnusable

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from contracts.chunks import ChunkIndex

HEAD_BYTES = 12 + HEADER_LIMIT_BYTES
"""Enough of an artifact to hold its header: magic, the header's length, and the longest header."""


class Vault:
    """The server's store of bytes."""

    def __init__(self, folder: Path) -> None:
        """Use the folder; ``prepare`` makes it."""
        self._incoming = folder / "incoming"
        self._artifacts = folder / "artifacts"
        self._chunks = folder / "chunks"

    def prepare(self) -> None:
        """Make the folders; sweep uploads that a stopped server left behind."""
        with _disk_errors(self._artifacts):
            for folder in (self._incoming, self._artifacts, self._chunks):
                folder.mkdir(parents=True, exist_ok=True)
            for leftover in self._incoming.iterdir():
                leftover.unlink()

    def receive(self, digest: Digest) -> Upload:
        """Return an upload that will become the artifact of that digest."""
        path = self._incoming / secrets.token_hex(16)
        with _disk_errors(path):
            return Upload(path, self._artifacts / digest, digest)

    def artifact_head(self, digest: Digest) -> tuple[bytes, int]:
        """Return the artifact's first bytes, header included, and its whole length.

        Raises:
            BytesMissing: it was not uploaded.
        """
        with self._open_artifact(digest) as file:
            return file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size

    def cut(self, index: ChunkIndex) -> None:
        """Keep every chunk of the artifact that the index describes.

        Raises:
            BytesMissing: the artifact was not uploaded.
            BytesDiffer: the artifact is not what the index says.
            DataDirUnusable: the disk is full or not ours to write.
        """
        with self._open_artifact(index.artifact) as file:
            for place, (digest, length) in enumerate(zip(index.digests, index.lengths, strict=True)):
                chunk = file.read(length)
                if digest_of(chunk) != digest.hex():
                    raise BytesDiffer(f"chunk {place} of artifact {index.artifact} is not what its index says")
                self._keep_chunk(Digest(digest.hex()), chunk)
            if file.read(1):
                raise BytesDiffer(f"artifact {index.artifact} is longer than its index says")

    def drop_artifact(self, digest: Digest) -> None:
        """Forget the whole artifact, if it is there: its chunks are kept."""
        (self._artifacts / digest).unlink(missing_ok=True)

    def chunk(self, digest: Digest) -> bytes:
        """Return the chunk.

        Raises:
            BytesMissing: it is not in the vault.
        """
        try:
            return self._chunk_path(digest).read_bytes()
        except FileNotFoundError as error:
            raise _gone(digest) from error

    def chunk_file(self, digest: Digest) -> Path:
        """Return the file that holds the chunk; it never changes.

        Raises:
            BytesMissing: it is not in the vault.
        """
        path = self._chunk_path(digest)
        if not path.is_file():
            raise _gone(digest)
        return path

    def _open_artifact(self, digest: Digest) -> BinaryIO:
        try:
            return (self._artifacts / digest).open("rb")
        except FileNotFoundError as error:
            raise BytesMissing(f"artifact {digest} was not uploaded; upload it before the metadata") from error

    def _chunk_path(self, digest: Digest) -> Path:
        return self._chunks / digest[:2] / digest

    def _keep_chunk(self, digest: Digest, data: bytes) -> None:
        path = self._chunk_path(digest)
        if path.exists() and digest_of(path.read_bytes()) == digest:  # what was damaged on disk is written anew
            return
        with _disk_errors(path):
            path.parent.mkdir(exist_ok=True)
            draft = self._incoming / secrets.token_hex(16)
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)


class Upload:
    """One artifact on its way in; use as a context: what is not kept is removed."""

    def __init__(self, path: Path, final: Path, digest: Digest) -> None:
        """Open the file for writing."""
        self._path = path
        self._final = final
        self._digest = digest
        self._seen = hashlib.sha256()
        self._file = path.open("xb")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not kept."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            DataDirUnusable: the disk is full or not ours to write.
        """
        with _disk_errors(self._path):
            self._file.write(data)
        self._seen.update(data)

    def keep(self) -> None:
        """Put the artifact under its digest.

        Raises:
            BytesDiffer: the bytes have another digest.
            DataDirUnusable: the disk is full or not ours to write.
        """
        if self._seen.hexdigest() != self._digest:
            raise BytesDiffer(f"the bytes have digest {self._seen.hexdigest()}, not {self._digest}; send them again")
        with _disk_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.replace(self._final)


def _gone(digest: Digest) -> BytesMissing:
    return BytesMissing(
        f"chunk {digest} is gone from the vault; restore the vault from a backup, or publish the model as a new version"
    )


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = "free some space and try again" if error.errno == errno.ENOSPC else "is the data folder writable?"
        raise DataDirUnusable(f"cannot write to {path.parent}: {error.strerror}; {advice}") from error
