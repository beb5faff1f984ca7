"""Files of arrays: read in place, and refused in one line where they are not what they claim."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from numpy.typing import NDArray

from optimizer.data.dataset import Dataset
from optimizer.data.npz import open_npz
from optimizer.errors import DatasetError
from tests.optimizer.builders import rows

ROWS = rows((3,), count=8)


def an_npy(*, shape: tuple[int, ...] = (8, 3), descr: str = "<f4", data: bytes = ROWS.tobytes()) -> bytes:
    """Return an array file whose header claims what it is told to."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def a_zip(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip file of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def a_file(folder: Path, *, compressed: bool) -> Path:
    """Write a good data set."""
    arrays: dict[str, NDArray[np.generic]] = {
        "calibration/x": ROWS,
        "holdout/x": ROWS + 1,
        "holdout/label": np.arange(8),
    }
    if compressed:
        np.savez_compressed(folder / "d.npz", allow_pickle=False, **arrays)
    else:
        np.savez(folder / "d.npz", allow_pickle=False, **arrays)
    return folder / "d.npz"


@pytest.mark.parametrize("compressed", [False, True])
def test_no_row_is_read_before_it_is_asked_for(tmp_path: Path, *, compressed: bool) -> None:
    path = a_file(tmp_path, compressed=compressed)
    tensor = open_npz(path)["calibration/x"]
    path.unlink()

    with pytest.raises(DatasetError, match="does not exist"):
        tensor[np.array([0])]


def test_a_file_that_changes_under_the_work_is_noticed(tmp_path: Path) -> None:
    data = Dataset.load(a_file(tmp_path, compressed=False))
    os.utime(tmp_path / "d.npz", ns=(1, 1))

    with pytest.raises(DatasetError, match="changed while it was in use"):
        data.holdout.take(np.array([0]))


def test_compressed_rows_outlive_the_file(tmp_path: Path) -> None:
    data = Dataset.load(a_file(tmp_path, compressed=True))
    (tmp_path / "d.npz").unlink()

    assert data.holdout["x"].tolist() == (ROWS + 1).tolist()


def test_arrays_that_are_not_asked_for_may_be_damaged(tmp_path: Path) -> None:
    good = {
        "calibration/x.npy": an_npy(),
        "holdout/x.npy": an_npy(),
        "train/x.npy": an_npy(shape=(1 << 17,), descr="|u1", data=b"t" * (1 << 17)),
    }
    path = a_zip(tmp_path / "d.npz", good)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"ttt")] ^= 0xFF
    path.write_bytes(content)

    assert Dataset.load(path).holdout.count == 8


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (an_npy(shape=(1 << 28, 3)), r"claims float32 \(268435456, 3\), which is 3221225472 bytes, but holds 96"),
        (an_npy(shape=(2, 3)), r"claims float32 \(2, 3\), which is 24 bytes, but holds 96"),
        (an_npy(shape=(-8, -3)), r"claims float32 \(-8, -3\)"),
        (an_npy(descr="|O"), "pickled objects, which are never opened"),
        (an_npy(descr="<q9"), r"no plain .npz file \(array calibration/x"),
        (b"\x93NUMPY\x01\x00\xff\xff{'descr'", r"no plain .npz file \(array calibration/x: EOF"),
        (b"\x93NUMPY\x09\x00" + an_npy()[8:], "is of version 9.0, which is not read"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b" " * 99_000, "no plain .npz file"),
        (b"no array at all", "no plain .npz file"),
    ],
)
def test_a_member_that_is_not_what_it_claims_is_refused(tmp_path: Path, member: bytes, words: str) -> None:
    path = a_zip(tmp_path / "d.npz", {"calibration/x.npy": member, "holdout/x.npy": an_npy()})

    with pytest.raises(DatasetError, match=words) as caught:
        Dataset.load(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_zip_directory_that_claims_four_gigabytes_is_refused(tmp_path: Path) -> None:
    path = a_zip(tmp_path / "d.npz", {"calibration/x.npy": an_npy(), "holdout/x.npy": an_npy()}, method=8)
    content = path.read_bytes()
    place = content.index(b"PK\x01\x02") + 24
    size = struct.pack("<I", 0xFFFF_FFFE)

    path.write_bytes(content[:place] + size + content[place + 4 :])

    with pytest.raises(DatasetError, match="claims float32"):
        Dataset.load(path)


@pytest.mark.parametrize("split", ["calibration", "holdout"])
def test_a_split_without_a_row_is_refused(tmp_path: Path, split: str) -> None:
    np.savez(
        tmp_path / "d.npz", allow_pickle=False, **{"calibration/x": ROWS, "holdout/x": ROWS} | {f"{split}/x": ROWS[:0]}
    )

    with pytest.raises(DatasetError, match=f"{split} has no rows"):
        Dataset.load(tmp_path / "d.npz")


def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.npz")

    with pytest.raises(DatasetError, match="is no file"):
        Dataset.load(tmp_path / "d.npz")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = a_zip(tmp_path / "d.npz", {"calibration/x.npy": an_npy(), "holdout/x.npy": an_npy()})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)

    with pytest.raises(DatasetError, match="calibration/x is encrypted"):
        Dataset.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [False, True])
@settings(max_examples=150, deadline=None)
@given(edit=st.tuples(st.integers(0, 10_000), st.binary(min_size=0, max_size=9)), cut=st.booleans())
def test_a_damaged_file_is_either_whole_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, *, compressed: bool, edit: tuple[int, bytes], cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = a_file(folder, compressed=compressed)
    content = path.read_bytes()
    place, new = edit[0] % len(content), edit[1]
    path.write_bytes(content[:place] + new + (b"" if cut else content[place + len(new) :]))

    said = _outcome(lambda: Dataset.load(path).digest)

    assert "\n" not in said


def _outcome(call: Callable[[], str]) -> str:
    try:
        return call()
    except DatasetError as error:
        return str(error)


def test_a_member_without_a_name_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.zeros((2, 3), dtype=np.float32), label=np.zeros(2, dtype=np.int64))
    content = path.read_bytes()
    named = content.rindex(b"label.npy") - 46  # its record in the central directory; the length of the name is at 28
    path.write_bytes(content[: named + 28] + b"\0" + content[named + 29 :])

    with pytest.raises(DatasetError, match="is no plain"):
        open_npz(path)
