"""Files that came from elsewhere: whatever becomes of the process that opens one, it is one clear line here."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import ModelError
from optimizer.file_kind import FileKind
from optimizer.formats.probe import Room, judge, probe
from optimizer.source import open_model
from tests.optimizer.builders import a_torch_mlp, an_onnx_mlp
from tests.optimizer.formats.broken_onnx import BROKEN, cycle, deep_ifs, endless_loop, huge_constant, unsorted
from tests.optimizer.formats.test_tflite_format import a_float_file

pytestmark = pytest.mark.slow


def _file(folder: Path, content: bytes, name: str = "given.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("damage", list(BROKEN))
def test_a_broken_onnx_file_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    build, line = BROKEN[damage]
    path = _file(tmp_path, build())

    with pytest.raises(ModelError, match=line) as refused:
        open_model(str(path))

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_model_that_never_answers_is_given_up(tmp_path: Path) -> None:
    path = _file(tmp_path, endless_loop())

    with pytest.raises(ModelError, match="given up after 2 s"):
        open_model(str(path), room=Room(time_s=2))


def test_the_room_for_memory_decides(tmp_path: Path) -> None:
    path = _file(tmp_path, huge_constant(rows=2**17))

    with pytest.raises(ModelError, match="more than 1 GB of memory"):
        probe(path, FileKind.ONNX, room=Room(memory_bytes=1 << 30))
    probe(path, FileKind.ONNX, room=Room(memory_bytes=4 << 30))


def test_branches_that_protobuf_reads_are_taken(tmp_path: Path) -> None:
    path = _file(tmp_path, deep_ifs(20))

    model = open_model(str(path))

    assert "If" in model.spec.operators


def test_operations_out_of_order_are_sorted_with_a_word(tmp_path: Path) -> None:
    path = _file(tmp_path, unsorted())
    said: list[str] = []

    model = open_model(str(path), told=said.append)

    assert model.spec.operators == {"Relu", "Tanh"}
    assert "sorted" in said[0]


def test_free_sizes_are_fixed_as_the_user_says(tmp_path: Path) -> None:
    path = _file(tmp_path, BROKEN["free sizes"][0]())

    model = open_model(
        str(path), inputs=[TensorSpec(name="x", element=ElementType.FP32, shape=(1, 3, 24, 32))], name="photo"
    )

    assert [(spec.name, spec.shape) for spec in (*model.inputs, *model.outputs)] == [
        ("x", (-1, 3, 24, 32)),
        ("y", (-1, 3, 24, 32)),
    ]


def test_a_whole_tflite_file_opens(tmp_path: Path) -> None:
    path = _file(tmp_path, a_float_file(), "given.tflite")

    assert open_model(str(path)).outputs[0].shape == (-1, 5)


@pytest.mark.parametrize(
    ("status", "told", "line"),
    [
        (-11, "", r"crashes over it \(SIGSEGV\), so it is damaged"),
        (-6, "", "more than 4 GB of memory, or crashes its runtime"),
        (3, "", r"crashes over it \(status 3\)"),
        (0, '{"memory": true}', "more than 4 GB of memory"),
        (0, '{"refused": "given: no graph; export it again"}', "^given: no graph; export it again$"),
        (0, "half of an ans", "crashes over it"),
    ],
)
def test_however_the_other_process_ends_it_is_one_line(status: int, told: str, line: str) -> None:
    with pytest.raises(ModelError, match=line):
        judge(Path("given.tflite"), status, told, 4 << 30)


def test_a_file_that_fits_raises_nothing() -> None:
    judge(Path("given.tflite"), 0, 'chatter of a library\n{"fits": true}\n', 4 << 30)


def test_a_program_is_opened_by_a_process_of_its_own(tmp_path: Path) -> None:
    path = _file(tmp_path, a_torch_mlp().content, "given.pt2")

    assert open_model(str(path)).digest == a_torch_mlp().digest


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no file"):
        open_model(str(tmp_path))


def test_a_file_larger_than_any_model_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as sink:
        sink.truncate(5 * 10**9)

    with pytest.raises(ModelError, match=r"has 5\.0 GB; models of at most 2 GB"):
        open_model(str(path))


def test_what_the_probe_opened_is_what_is_returned(tmp_path: Path) -> None:
    path = _file(tmp_path, an_onnx_mlp().content)

    assert open_model(str(path), name="mlp") == an_onnx_mlp()


def test_a_circle_names_its_tensors(tmp_path: Path) -> None:
    path = _file(tmp_path, cycle())

    with pytest.raises(ModelError, match=r"a <- b <- a|b <- a <- b"):
        open_model(str(path))
