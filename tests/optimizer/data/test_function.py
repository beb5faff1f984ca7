"""Data that a function returns, in each form; what it raises is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.tensors import ElementType
from optimizer.data.dataset import Dataset
from optimizer.data.source import DataOptions, Order, open_dataset
from optimizer.errors import DatasetError
from tests.optimizer.data.samples import an_input

ONE = (an_input(2),)
TWO = (an_input(2, name="ids", element=ElementType.INT64), an_input(name="age"))
IN_ORDER = DataOptions(order=Order.TIME, calibration_rows=2)


def returned(folder: Path, body: str, *, two: bool = False) -> Dataset:
    """Return the data of a function with this body: its first two rows calibrate."""
    lines = "\n    ".join(body.splitlines())
    (folder / "own_data.py").write_text(f"import numpy as np\n\ndef rows():\n    {lines}\n")
    return open_dataset(f"{folder / 'own_data.py'}:rows", TWO if two else ONE, options=IN_ORDER)


DATASET = """
from optimizer.data.dataset import Dataset
x = np.arange(10).reshape(5, 2)
return Dataset.of(calibration={"x": x[:2]}, holdout={"x": x[2:]}, label=np.arange(2, 5))
"""
SPLIT = """
x = np.arange(10).reshape(5, 2)
return {"calibration/x": x[:2], "holdout/x": x[2:], "holdout/label": np.arange(2, 5)}
"""
SAMPLES = """
for place in range(5):
    yield np.array([place, -place], dtype=np.float32), {label}
"""


@pytest.mark.parametrize(
    ("body", "dtype"),
    [
        ("return {'x': np.arange(10).reshape(5, 2), 'label': np.arange(5)}", np.int64),
        (SPLIT, np.int64),
        ("return np.arange(10.0).reshape(5, 2), np.arange(5)", np.float64),
        ("return np.arange(10).reshape(5, 2).tolist(), list(range(5))", np.int64),
        ("for place in range(5):\n    yield np.array([2 * place, 2 * place + 1], np.uint8), place", np.uint8),
        (
            "for place in range(5):\n    yield {'x': np.array([2.0 * place, 2 * place + 1])}, np.int64(place)",
            np.float64,
        ),
        ("return [([2 * place, 2 * place + 1], place) for place in range(5)]", np.int64),
        ("yield np.arange(6).reshape(3, 2), np.arange(3)\nyield np.arange(6, 10).reshape(2, 2), [3, 4]", np.int64),
        (DATASET, np.int64),
    ],
    ids=["arrays", "split arrays", "pair", "lists", "samples", "named samples", "list", "batches", "dataset"],
)
def test_each_form_gives_the_same_rows(tmp_path: Path, body: str, dtype: type[np.generic]) -> None:
    data = returned(tmp_path, body)

    assert data.calibration["x"].tolist() == [[0, 1], [2, 3]]
    assert data.holdout["x"].tolist() == [[4, 5], [6, 7], [8, 9]]
    assert data.holdout["x"].dtype == dtype
    assert data.label is not None
    assert data.label.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("label", "expected", "labels"),
    [
        ("place / 2", [1.0, 1.5, 2.0], ()),
        ("['b', 'a'][place % 2]", [1, 0, 1], ("a", "b")),
        ("np.array([place, place])", [[2, 2], [3, 3], [4, 4]], ()),
        ("place > 2", [0, 1, 1], ()),
    ],
    ids=["quantity", "name", "array", "truth"],
)
def test_a_label_is_a_quantity_a_name_or_an_array(
    tmp_path: Path, label: str, expected: list[object], labels: tuple[str, ...]
) -> None:
    data = returned(tmp_path, SAMPLES.format(label=label))

    assert data.label is not None
    assert data.label.tolist() == expected
    assert data.labels == labels


def test_samples_without_a_label_have_none(tmp_path: Path) -> None:
    assert returned(tmp_path, "return iter(np.zeros((4, 2), np.float32))").label is None


def test_several_inputs_come_by_name(tmp_path: Path) -> None:
    body = "for place in range(4):\n    yield {'ids': np.array([place, 1]), 'age': np.float32(place)}, 0"

    data = returned(tmp_path, body, two=True)

    assert data.holdout["ids"].tolist() == [[2, 1], [3, 1]]
    assert data.holdout["age"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no disk\\nhere')", "rows() failed: RuntimeError: no disk (own_data.py, line 4)"),
        ("yield [1.0, 2.0], 1\n1 / 0", "rows() failed: ZeroDivisionError: division by zero (own_data.py, line 5)"),
        ("return 5", "returned int; return a Dataset"),
        ("return None", "returned NoneType"),
        ("return []", "returned no sample"),
        ("yield [1.0, 2.0], 1\nyield [1.0, 2.0]*2, 1", "sample 2: x is float64 (4,), the first one is float64 (2,)"),
        ("yield [1.0, 2.0], 1\nyield np.zeros(2, np.float32), 1", "sample 2: x is float32 (2,), the first one is"),
        ("yield [1.0, 2.0], 1\nyield [1.0, 2.0], None", "sample 2: it has no label, but others have"),
        ("yield [1.0, 2.0], 1\nyield [1.0, 2.0], 'cat'", "sample 2: labels are numbers, but one is 'cat'"),
        ("yield [1.0, object()], 1", "sample 1: x is no array of numbers"),
        ("yield [[1.0], [1.0, 2.0]], 1", "sample 1: x is no array"),
        ("return {'image': np.zeros((4, 2))}", "has no array 'x' for the model's input (it has image)"),
        ("return np.zeros((4, 2)), np.zeros(3)", "there are 4 rows but 3 labels"),
    ],
)
def test_what_is_no_data_is_one_line_that_names_the_function(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        returned(tmp_path, body)

    assert words in str(caught.value)
    assert "own_data.py:rows" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_inputs_without_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the model takes ids, age; return a mapping of those names"):
        returned(tmp_path, "return np.zeros((4, 2))", two=True)
