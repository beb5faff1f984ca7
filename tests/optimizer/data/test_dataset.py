"""Data sets: what is read, what is refused, and what the messages name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.tensors import ElementType, TensorSpec
from optimizer.data.dataset import Dataset, misfits, value_ranges
from optimizer.data.rows import ArrayRows
from optimizer.errors import DatasetError
from tests.optimizer.builders import rows
from tests.optimizer.data.samples import an_input

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


def test_values_that_are_not_finite_are_counted_over_all_rows() -> None:
    values = rows((3,), count=9)
    values[[0, 8], 1] = np.nan, np.inf

    found = list(misfits("holdout", ArrayRows({"x": values}), (an_input(3),)))

    assert found == ["holdout/x: 2 values are not finite; clean them"]


def test_shapes_are_compared_without_reading_a_row() -> None:
    found = list(misfits("holdout", Unreadable({"x": rows((3,))}), (an_input(4), an_input(2, name="y"))))

    assert [sentence.split(":")[0] for sentence in found] == ["holdout/x", "holdout/y is missing"]


def test_ranges_are_over_all_rows() -> None:
    values = rows((3,), count=300_000)
    values[123_456, 2], values[299_999, 0] = -77, 99

    assert value_ranges(ArrayRows({"x": values}), ["x"]) == {"x": (-77, 99)}


class Unreadable(ArrayRows):
    """Rows of which none may be read."""

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Fail."""
        raise AssertionError(places)
