"""Files that are the old or the new, whole; private files that nobody else reads and nothing overwrites."""

from __future__ import annotations

from pathlib import Path

import pytest

from signing.durable_file import create_private, write_durably


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    write_durably(path, b"old, and longer")

    write_durably(path, b"new")

    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["targets.json"]


def test_a_leftover_of_a_power_cut_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "targets.json"
    (tmp_path / ".targets.json.new").write_bytes(b"half of something lon")

    write_durably(path, b"whole")

    assert path.read_bytes() == b"whole"
    assert [one.name for one in tmp_path.iterdir()] == ["targets.json"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    (path / "inside").write_bytes(b"old")

    with pytest.raises(OSError, match="directory"):
        write_durably(path, b"new")

    assert (path / "inside").read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]


def test_a_missing_folder_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "none" / "file", b"")


def test_a_private_file_is_for_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "root.pem"
    create_private(path, b"first")

    with pytest.raises(FileExistsError):
        create_private(path, b"second")

    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
