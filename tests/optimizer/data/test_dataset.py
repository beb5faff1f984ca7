"""Data sets: what is read, what is refused, and what the messages name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from contracts.tensors import ElementType, TensorSpec
from optimizer.data.dataset import Dataset, misfits
from optimizer.errors import DatasetError
from tests.optimizer.builders import rows

_IMAGE = TensorSpec(name="image", element=ElementType.FP32, shape=(-1, 1, 8, 8))


def _write(path: Path, **arrays: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Path:
    np.savez(path, allow_pickle=True, **{key.replace("__", "/"): values for key, values in arrays.items()})
    return path


def test_splits_labels_and_class_names_are_read(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "d.npz",
        calibration__image=rows((1, 8, 8), count=4),
        holdout__image=rows((1, 8, 8), count=6),
        holdout__label=np.arange(6),
        train__image=rows((1, 8, 8), count=9),
        labels=np.array(["zero", "one"]),
    )

    data = Dataset.load(path)

    assert data.calibration["image"].shape == (4, 1, 8, 8)
    assert data.label is not None
    assert data.label.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.labels == ("zero", "one")
    assert data.holdout.names == ("image",)


def test_the_digest_follows_the_values() -> None:
    one = Dataset.of(calibration={"x": rows((3,), seed=1)}, holdout={"x": rows((3,))})
    same = Dataset.of(calibration={"x": rows((3,), seed=1)}, holdout={"x": rows((3,))})
    other = Dataset.of(calibration={"x": rows((3,), seed=2)}, holdout={"x": rows((3,))})

    assert one.digest == same.digest
    assert one.digest != other.digest


def test_a_missing_split_is_named_with_what_there_is(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.npz", calibration__x=rows((3,)), y=rows((3,)))

    with pytest.raises(DatasetError, match=r"no holdout/TENSOR array \(it has calibration/x, y\)"):
        Dataset.load(path)


def test_splits_of_unequal_length_are_refused(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "d.npz", calibration__x=rows((3,)), holdout__x=rows((3,), count=5), holdout__label=np.zeros(4)
    )

    with pytest.raises(DatasetError, match="holdout/x 5, holdout/label 4"):
        Dataset.load(path)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DatasetError, match="calibration has no rows"):
        Dataset.of(calibration={"x": rows((3,), count=0)}, holdout={"x": rows((3,))})


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "d.npz", calibration__x=np.array([{"a": 1}], dtype=object))

    with pytest.raises(DatasetError, match="pickled objects"):
        Dataset.load(path)


@pytest.mark.parametrize("content", [b"", b"not numpy at all", b"PK\x03\x04rubbish"])
def test_a_file_that_is_no_npz_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)

    with pytest.raises(DatasetError, match=r"no plain \.npz file"):
        Dataset.load(path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    np.save(path, rows((3,)))

    with pytest.raises(DatasetError, match="holds one array"):
        Dataset.load(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        Dataset.load(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image": rows((8, 8, 1))}, r"calibration/image: expected shape \(n, 1, 8, 8\), got \(64, 8, 8, 1\)"),
        ({"picture": rows((1, 8, 8))}, r"calibration/image is missing: .* the data has calibration/picture"),
        ({"image": np.full((2, 1, 8, 8), np.nan)}, "128 values are not finite"),
        ({"image": np.full((2, 1, 8, 8), "x")}, "expected numbers, got <U1"),
    ],
)
def test_a_misfit_names_tensor_expected_and_actual(
    given: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], sentence: str
) -> None:
    (found,) = misfits("calibration", given, (_IMAGE,))

    assert re.search(sentence, found), found
