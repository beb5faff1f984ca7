"""CSV and Parquet: columns are elements, one of them the label; what is no number is named by line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.tensors import ElementType, TensorSpec
from optimizer.data.csv_table import csv_body
from optimizer.data.parquet_table import parquet_body
from optimizer.data.source import DataOptions, open_dataset
from optimizer.data.splits import Body
from optimizer.errors import DatasetError
from tests.optimizer.data.samples import an_input

PAIR = (an_input(2),)
IDS = (an_input(2, name="ids", element=ElementType.INT64), an_input(1, name="age"))


def csv_of(folder: Path, text: str | bytes, inputs: tuple[TensorSpec, ...] = PAIR, *, label: str = "") -> Body:
    """Return the body of the CSV text."""
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return csv_body(folder / "t.csv", inputs, label=label)


def parquet_of(
    folder: Path, columns: dict[str, object], inputs: tuple[TensorSpec, ...] = PAIR, *, label: str = ""
) -> Body:
    """Return the body of the table, in row groups of two."""
    pq.write_table(pa.table(columns), folder / "t.parquet", row_group_size=2)
    return parquet_body(folder / "t.parquet", inputs, label=label)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_elements_in_their_order_and_the_label_may_stand_anywhere(tmp_path: Path, separator: str) -> None:
    text = "heat,target,load\r\n1.5,0,-2\r\n\r\n3,1,4e2\r\n".replace(",", separator)

    body = csv_of(tmp_path, "\ufeff" + text)

    assert body.rows["x"].tolist() == [[1.5, -2.0], [3.0, 400.0]]
    assert body.columns == ("heat", "load")
    assert body.label is not None
    assert body.label.tolist() == [0, 1]
    assert body.label.dtype == np.int64


def test_a_parquet_file_gives_the_same_rows_as_a_csv_file(tmp_path: Path) -> None:
    text = csv_of(tmp_path, "a,b,class\n1,0.5,cat\n2,1.5,ant\n3,2.5,cat\n")

    columns = parquet_of(tmp_path, {"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "class": ["cat", "ant", "cat"]})

    assert columns.rows.digest == text.rows.digest
    assert columns.labels == text.labels == ("ant", "cat")
    assert columns.label is not None
    assert text.label is not None
    assert columns.label.tolist() == text.label.tolist() == [1, 0, 1]


def test_a_named_label_wins_over_the_names_that_labels_have(tmp_path: Path) -> None:
    body = csv_of(tmp_path, "y,b,wear\n1,2,0.5\n3,4,0.25\n", label="wear")

    assert body.columns == ("y", "b")
    assert body.label is not None
    assert body.label.tolist() == [0.5, 0.25]


def test_a_table_without_a_label_has_none(tmp_path: Path) -> None:
    assert csv_of(tmp_path, "a,b\n1,2\n").label is None


def test_several_inputs_take_their_columns_by_name_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    body = csv_of(tmp_path, "age.years,ids.first,ids.second,label\n30.5,7,9007199254740993,1\n", IDS)

    assert body.rows["ids"].tolist() == [[7, 9007199254740993]]
    assert body.rows["age"].tolist() == [[30.5]]
    assert body.columns == ()


def test_a_column_of_no_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="columns that belong to no input: height"):
        csv_of(tmp_path, "age.years,ids.a,ids.b,height\n1,2,3,4\n", IDS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3,red\n", "line 3, column b: 'red' is no finite number; mend the cell"),
        ("a,b\n1,\n", "line 2, column b: the value is missing"),
        ("a,b\n1,NaN\n", "line 2, column b: 'NaN' is no finite number"),
        ("a,b\n1,1e300\n", "line 2, column b: '1e300' is no finite number"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the header has 2; mend the line"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells"),
        ('a,b\n"1\n",2\n3,x\n', "line 4, column b: 'x'"),
        ("a,b,c\n1,2,3\n", "has 3 columns for 'x', which takes 2 elements a row; it has a, b, c"),
        ("a,b,y\n1,2,\n", "line 2, column y: a label is missing"),
        ("a,b,y\n1,2,3\n1,2,cat\n", "line 3, column y: labels are numbers, but one is 'cat'"),
        ("a,b,y\n1,2,cat\n1,2,3\n", "line 3, column y: labels are names, but one is 3"),
        ("a,b,y\n1,2,nan\n", "line 2, column y: a label is nan"),
        ("a,a\n1,2\n", "has a more than once in its header"),
        (",a,b\n0,1,2\n", "column 1 has no name in the header; name each column, and leave an index out"),
        ("", "column 1 has no name"),
        ("a,b\n", "has no rows"),
        (b"a,b\n1,\xff\n", "is no text in UTF-8"),
        ('a,b\n1,"2\n', "is no CSV file"),
        ("a,b\n" + "1" * 200_000 + ",2\n", "is no CSV file"),
    ],
)
def test_a_csv_file_that_is_no_table_of_numbers_says_where(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        csv_of(tmp_path, text)

    assert words in str(caught.value)


@pytest.mark.parametrize("cell", ["1.0", "red", str(1 << 70)])
def test_an_input_of_whole_numbers_takes_no_others(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DatasetError, match=f"line 2, column a: '{cell}' is no whole number in range"):
        csv_of(tmp_path, f"a,b\n{cell},2\n", (an_input(2, element=ElementType.INT64),))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1, 2, None], "b": [1, 2, 3]}, "row 3, column a: the value is missing"),
        ({"a": [1, 2, 3], "b": ["1", "2", "x"]}, "row 3, column b: Failed to parse"),
        ({"a": [1.0, float("inf"), 3.0], "b": [1, 2, 3]}, "row 2, column a: inf is no number"),
        ({"a": [1, 2], "b": [[1], [2]]}, "row 1, column b"),
        ({"a": [1, 2], "b": [1, 2], "y": ["cat", None]}, "row 2, column y: a label is missing"),
        ({"a": [1, 2], "b": [b"\xff", b"1"]}, "row 1, column b"),
        ({"a": [1, 2]}, "has 1 columns for 'x'"),
    ],
)
def test_a_parquet_file_that_is_no_table_of_numbers_says_where(
    tmp_path: Path, columns: dict[str, object], words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        parquet_of(tmp_path, columns)

    assert words in str(caught.value)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), new=st.binary(max_size=6), cut=st.booleans())
def test_a_damaged_parquet_file_is_read_or_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: int, new: bytes, *, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "t.parquet"
    pq.write_table(pa.table({"a": np.arange(9), "b": np.arange(9) / 2, "y": list("abcabcabc")}), path)
    content = path.read_bytes()
    place %= len(content)
    path.write_bytes(content[:place] + new + (b"" if cut else content[place + len(new) :]))

    said = _said(path)

    assert "\n" not in said


def test_columns_name_the_elements_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("heat,load,y\n" + "1,2,0\n3,4,1\n" * 20)

    data = open_dataset(tmp_path / "t.csv", PAIR, options=DataOptions(calibration_rows=8))

    assert data.columns == ("heat", "load")
    assert (data.calibration.count, data.holdout.count) == (8, 32)


def _said(path: Path) -> str:
    try:
        parquet_body(path, PAIR, label="")
    except DatasetError as error:
        return str(error)
    return ""
