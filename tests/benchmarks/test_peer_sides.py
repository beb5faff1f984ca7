"""Opening, timing and scoring the files of one model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.cases import Case, Split
from benchmarks.peers.scores import answers_of, keeps, score
from benchmarks.peers.sides import Side, opened, read_sides, save_arrays, write_sides
from benchmarks.peers.timing import AGAIN, ORIGINAL, measure


def linear(path: Path, weights: list[list[float]]) -> Path:
    """Write ``y = x @ weights`` as ONNX."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(weights, dtype=np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def case_of(model: Path, rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Case:
    split = Split(rows={"x": rows}, label=rows.argmax(axis=1).astype(np.int64))
    return Case(name="linear", model=model, calibration=split, judged=split, scored=split)


def test_a_list_of_sides_is_read_as_it_was_written(tmp_path: Path) -> None:
    sides = [Side(name="original", path=tmp_path / "a.onnx"), Side(name="b", path=tmp_path / "b.tflite", adapter=({},))]

    write_sides(sides, tmp_path)

    assert read_sides(tmp_path) == sides
    assert [side.is_tflite for side in sides] == [False, True]


def test_an_onnx_side_answers_one_row(tmp_path: Path) -> None:
    side = Side(name="original", path=linear(tmp_path / "a.onnx", [[1, 0], [0, 2]]))

    (answer,) = opened(side, ["x"])({"x": np.array([[3, 4]], dtype=np.float32)})

    assert answer.tolist() == [[3, 8]]


def test_a_side_whose_inputs_have_other_names_is_fed_by_place(tmp_path: Path) -> None:
    side = Side(name="original", path=linear(tmp_path / "a.onnx", [[1, 0], [0, 2]]))

    (answer,) = opened(side, ["image"])({"image": np.array([[3, 4]], dtype=np.float32)})

    assert answer.tolist() == [[3, 8]]


def test_equal_answers_keep_accuracy_and_swapped_ones_do_not(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(400, 2)).astype(np.float32)
    same = Side(name="original", path=linear(tmp_path / "a.onnx", [[1, 0], [0, 1]]))
    swapped = Side(name="swapped", path=linear(tmp_path / "b.onnx", [[0, 1], [1, 0]]))
    case = case_of(same.path, rows)

    reference = answers_of(same, case, tmp_path)
    equal, other = score(reference, reference, case), score(answers_of(swapped, case, tmp_path), reference, case)

    assert (equal.value, keeps(equal, case)) == (1.0, True)
    assert (other.value, keeps(other, case)) == (0.0, False)


def test_answers_are_kept_by_content(tmp_path: Path) -> None:
    rows = np.ones((4, 2), dtype=np.float32)
    side = Side(name="original", path=linear(tmp_path / "a.onnx", [[1, 0], [0, 1]]))
    case = case_of(side.path, rows)

    first = answers_of(side, case, tmp_path)
    (kept,) = (tmp_path / "answers").iterdir()
    written = kept.stat().st_mtime_ns
    again = answers_of(side, case, tmp_path)

    assert kept.stat().st_mtime_ns == written
    assert np.array_equal(first["00"], again["00"])


@pytest.mark.slow
def test_every_side_is_timed_beside_the_original_and_the_original_twice(tmp_path: Path) -> None:
    sides = [
        Side(name=ORIGINAL, path=linear(tmp_path / "a.onnx", [[1, 0], [0, 1]])),
        Side(name="peer", path=linear(tmp_path / "b.onnx", [[0, 1], [1, 0]])),
    ]
    write_sides(sides, tmp_path)
    save_arrays(tmp_path / "rows.npz", {"x": np.ones((4, 2), dtype=np.float32)})

    taken = measure(tmp_path, seconds=0.05, order=1)

    assert set(taken) == {ORIGINAL, AGAIN, "peer"}
    assert all(0 < seconds < 0.1 for seconds in taken.values())
