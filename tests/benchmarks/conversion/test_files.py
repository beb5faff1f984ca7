from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.conversion.answers import Asked, compared, difference
from benchmarks.conversion.files import DoesNotRun, Layout, arranged, operators_of, possible_layouts
from tests.builders import INPUT, OUTPUT, TinyModel, tflite_bytes


def details(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "shape": np.array(shape), "dtype": np.float32}


def asked_of(model: TinyModel, *, scale: float = 1.0) -> tuple[Asked, ...]:
    """Rows of the tiny model with its own answers, times the scale."""
    rows = [{INPUT: model.rows(4)[place : place + 1]} for place in range(4)]
    answers = [{OUTPUT: np.asarray(model.answers(row[INPUT])) * np.float32(scale)} for row in rows]
    return tuple(Asked(kind=kind, rows=tuple(rows), answers=tuple(answers)) for kind in ("real", "random"))


def test_a_tensor_of_the_same_name_and_shape_is_taken_as_it_is() -> None:
    found = next(possible_layouts([details("x", 1, 3, 8, 8)], {"x": (1, 3, 8, 8)}))

    assert found == (Layout(tensor="x", order=(0, 1, 2, 3)),)


def test_an_image_may_lie_channel_last_under_another_name() -> None:
    (found,) = possible_layouts([details("serving_default_args_0:0", 1, 8, 9, 3)], {"x": (1, 3, 8, 9)})

    assert found == (Layout(tensor="x", order=(0, 2, 3, 1)),)
    assert found[0].turned


def test_a_square_image_may_lie_either_way() -> None:
    found = [one[0].order for one in possible_layouts([details("x", 1, 8, 8, 8)], {"x": (1, 8, 8, 8)})]

    assert found[:2] == [(0, 1, 2, 3), (0, 2, 3, 1)]


def test_tensors_of_other_shapes_are_not_the_models() -> None:
    assert list(possible_layouts([details("x", 1, 5)], {"x": (1, 4)})) == []


def test_tensors_without_known_names_are_tried_in_every_order() -> None:
    pair = [details("a", 1, 4), details("b", 1, 6)]

    (found,) = possible_layouts(pair, {"boxes": (1, 6), "scores": (1, 4)})

    assert [one.tensor for one in found] == ["scores", "boxes"]


def test_a_row_is_arranged_as_the_file_takes_it() -> None:
    row = {"x": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}

    (found,) = arranged(row, [Layout(tensor="x", order=(0, 2, 1))], [details("x", 1, 3, 2)])

    assert found.shape == (1, 3, 2)
    assert found[0, :, 1].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("actual", "wanted"),
    [
        (np.array([1.0, 2.0]), 0.0),
        (np.array([1.0, 1.0]), 0.5),
        (np.array([1.0, np.nan]), np.inf),
        (np.array([[1.0, 2.0]]), np.inf),
    ],
)
def test_a_difference_is_a_share_of_the_largest_answer(actual: NDArray[Any], wanted: float) -> None:
    assert difference(np.array([1.0, 2.0]), actual) == wanted


def test_operators_are_counted_from_the_file() -> None:
    found = operators_of(tflite_bytes(TinyModel()))

    assert found["FULLY_CONNECTED"] >= 1
    assert found.total() == sum(found.values())


def test_a_right_file_is_as_close_as_floats_are(tmp_path: Path) -> None:
    path = tmp_path / "whole.tflite"
    path.write_bytes(tflite_bytes(TinyModel()))

    found = compared(path, asked_of(TinyModel()))

    assert found.error < 1e-5
    assert found.repeats


def test_a_file_with_other_answers_is_told_by_how_far(tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(tflite_bytes(TinyModel()))

    found = compared(path, asked_of(TinyModel(), scale=2.0))

    assert found.error == pytest.approx(0.5, abs=1e-3)


def test_a_file_that_is_cut_short_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(tflite_bytes(TinyModel())[:200])

    with pytest.raises(DoesNotRun):
        compared(path, asked_of(TinyModel()))
