"""Chunks on disk: whole, by their digest, and made whole again by the next release that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.chunks import ChunkIndex, cut
from contracts.ids import Digest, digest_of
from fleet_server.errors import BytesMissing
from fleet_server.releases.vault import Vault
from tests.fleet_server.server import a_release


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path)
    vault.prepare()
    return vault


def keep(vault: Vault, data: bytes) -> ChunkIndex:
    index = cut(data)
    with vault.receive(index.artifact) as upload:
        upload.write(data)
        upload.keep()
    vault.cut(index)
    return index


def path_of(folder: Path, chunk: Digest) -> Path:
    return folder / "chunks" / chunk[:2] / chunk


def test_a_damaged_chunk_is_written_anew_when_its_bytes_come_again(vault: Vault, tmp_path: Path) -> None:
    chunk = Digest(keep(vault, a_release()).digests[1].hex())
    path_of(tmp_path, chunk).write_bytes(b"damaged")

    keep(vault, a_release())

    assert digest_of(vault.chunk(chunk)) == chunk


def test_a_whole_chunk_is_left_as_it_is(vault: Vault, tmp_path: Path) -> None:
    path = path_of(tmp_path, Digest(keep(vault, a_release()).digests[1].hex()))
    before = path.stat()

    keep(vault, a_release())

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_of_a_chunk_that_is_gone_it_is_said_what_brings_it_back(vault: Vault) -> None:
    with pytest.raises(BytesMissing, match="restore the vault from a backup, or publish the model as a new version"):
        vault.chunk(digest_of(b"never kept"))
