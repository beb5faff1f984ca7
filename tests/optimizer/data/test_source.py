"""The one door: which form data come in, and what is no data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.tensors import ElementType
from optimizer.data.dataset import misfits
from optimizer.data.source import DataOptions, Order, open_dataset
from optimizer.data.spool import Spool
from optimizer.errors import DatasetError
from tests.optimizer.builders import rows
from tests.optimizer.data.samples import a_tone, an_input, pixels, wav_bytes, write_files, write_images

IMAGE = (an_input(3, 9, 7),)
CLIP = wav_bytes(a_tone(800))


def test_a_file_of_splits_is_taken_as_it_is(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[np.generic]] = {
        "calibration/x": rows((3,), count=4),
        "holdout/x": rows((3,), count=6),
        "holdout/label": np.arange(6),
    }
    np.savez(tmp_path / "d.npz", allow_pickle=False, **arrays)

    data = open_dataset(tmp_path / "d.npz", (an_input(3),))

    assert (data.calibration.count, data.holdout.count) == (4, 6)
    assert data.label is not None
    assert data.label.tolist() == list(range(6))


@pytest.mark.parametrize(("key", "label"), [("image", "label"), ("x", "y"), ("image", "class"), ("x", "target")])
def test_arrays_that_are_not_split_are_split(tmp_path: Path, key: str, label: str) -> None:
    values = np.arange(40, dtype=np.uint8).reshape(20, 2)
    arrays: dict[str, NDArray[np.generic]] = {key: values, label: np.arange(20), "names": np.array(["q"])}
    np.savez(tmp_path / "d.npz", allow_pickle=False, **arrays)

    data = open_dataset(tmp_path / "d.npz", (an_input(2, name="image"),))

    assert (data.calibration.count, data.holdout.count) == (10, 10)
    assert data.label is not None
    assert data.holdout["image"][:, 0].tolist() == (2 * data.label).tolist()


def test_series_of_several_inputs_with_token_ids_are_split_by_time(tmp_path: Path) -> None:
    series, ids = rows((5, 2), count=9), np.arange(18, dtype=np.int64).reshape(9, 2)
    np.savez_compressed(tmp_path / "d.npz", allow_pickle=False, series=series, ids=ids, wear=np.arange(9) / 10)
    inputs = (an_input(5, 2, name="series"), an_input(2, name="ids", element=ElementType.INT64))

    data = open_dataset(tmp_path / "d.npz", inputs, options=DataOptions(label="wear", order=Order.TIME))

    assert data.calibration["ids"].tolist() == ids[:4].tolist()
    assert data.holdout["series"].tolist() == series[4:].tolist()
    assert data.label is not None
    assert data.label.tolist() == (np.arange(4, 9) / 10).tolist()
    assert [*misfits("holdout", data.holdout, inputs)] == []


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"rows": rows((2,))}, DataOptions(), "has no array 'x' for the model's input (it has rows)"),
        ({"x": rows((2,)), "label": np.arange(3)}, DataOptions(), "there are 64 rows but 3 labels"),
        ({"x": rows((2,))}, DataOptions(label="wear"), "has no label 'wear'"),
        ({"x": np.array(3.0)}, DataOptions(), "at least one row; got x 0"),
    ],
)
def test_arrays_that_do_not_fit_are_named(
    tmp_path: Path, arrays: dict[str, NDArray[np.generic]], options: DataOptions, words: str
) -> None:
    np.savez(tmp_path / "d.npz", allow_pickle=False, **arrays)

    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path / "d.npz", (an_input(2),), options=options)

    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "d.npz"))


def test_subfolders_of_splits_are_honoured_and_share_their_classes(tmp_path: Path) -> None:
    write_images(tmp_path, {f"calibration/{name}/{place}.png": pixels(place) for name in "ab" for place in range(2)})
    write_images(tmp_path, {f"holdout/{name}/{place}.png": pixels(place) for name in "bc" for place in range(3)})

    data = open_dataset(tmp_path, IMAGE)

    assert data.labels == ("a", "b", "c")
    assert data.calibration.count == 4
    assert data.label is not None
    assert data.label.tolist() == [1, 1, 1, 2, 2, 2]
    assert data.holdout["x"][4].tolist() == pixels(1).transpose(2, 0, 1).tolist()


def test_subfolders_of_splits_may_be_flat(tmp_path: Path) -> None:
    write_files(tmp_path, {"calibration/a.wav": CLIP, "holdout/b.wav": CLIP, "holdout/c.wav": CLIP})

    data = open_dataset(tmp_path, (an_input(800),))

    assert (data.calibration.count, data.holdout.count, data.label) == (1, 2, None)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "has no file to make a row of"),
        ({"calibration/a.wav": CLIP, "holdout/.hidden": b""}, "has no file to make a row of"),
        ({"calibration/a.wav": CLIP, "holdout/yes/b.wav": CLIP}, "class subfolders in one of calibration and holdout"),
        ({"a.wav": CLIP, "yes/b.wav": CLIP}, "holds files (a.wav) beside class subfolders (yes)"),
        ({"a.wav": CLIP, "b.png": b""}, "holds images (b.png) and sound (a.wav)"),
        ({"a.wav": CLIP, "b.txt": b"", "c.md": b""}, "holds 2 files of another kind than WAV files, as b.txt"),
        ({"a.txt": b""}, "holds no images and no WAV files (it has a.txt)"),
    ],
)
def test_a_folder_that_is_no_data_says_why(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    write_files(tmp_path, files)

    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path, (an_input(800),))

    assert words in str(caught.value)


def test_a_folder_gives_one_input_only(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.wav": CLIP, "b.wav": CLIP})

    with pytest.raises(DatasetError, match="the model takes a, b; give module:function"):
        open_dataset(tmp_path, (an_input(800, name="a"), an_input(3, name="b")))


def test_another_way_of_decoding_is_another_digest(tmp_path: Path) -> None:
    write_images(tmp_path, {f"{place}.png": pixels(place) for place in range(4)})

    assert open_dataset(tmp_path, IMAGE).digest != open_dataset(tmp_path, (an_input(3, 8, 8),)).digest


@pytest.mark.parametrize("name", ["absent.npz", "absent", "rows.xlsx", "no.such.module:rows"])
def test_what_is_no_data_is_one_line_with_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"PK")

    with pytest.raises(DatasetError, match=name) as caught:
        open_dataset(str(tmp_path / name) if ":" not in name else name, IMAGE)

    assert "\n" not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.csv")

    with pytest.raises(DatasetError, match="is no file and no folder"):
        open_dataset(tmp_path / "d.csv", IMAGE)


def test_a_spool_does_not_fill_the_disk() -> None:
    with pytest.raises(DatasetError, match=r"do not fit in the .* that are free; name one with room in TMPDIR"):
        Spool().reserve(1 << 60)
