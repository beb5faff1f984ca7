"""The C files: arrays hold the very values, and what is compiled finds right and wrong answers."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from contracts.preprocessing import to_stored
from optimizer.benchmark.micro import run_micro
from optimizer.errors import MeasureFailed, PackingError
from optimizer.formats.session import open_session
from optimizer.microcontroller.arrays import c_array
from optimizer.microcontroller.bundle import write_bundle
from optimizer.microcontroller.resolver import missing_operators, registrations
from optimizer.microcontroller.sources import Golden, source_files
from optimizer.passes import Precision
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.passes.tflite_quantization.networks import a_float_net, image_rows, made

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler is installed")

CHECK = """
#include <cstdio>
#include <cstring>
#include "golden.h"
#include "model_data.h"

int main(int count, char** words) {
  static std::int8_t given[sizeof(edgeship_golden_output_0)];
  std::memcpy(given, edgeship_golden_output_0, sizeof(given));
  if (count > 1) given[0] = static_cast<std::int8_t>(given[0] + (given[0] > 0 ? -9 : 9));
  int wrong = 0;
  const int each = static_cast<int>(sizeof(given)) / kEdgeshipGoldenRows;
  for (int row = 0; row < kEdgeshipGoldenRows; ++row) {
    wrong += edgeship_golden_differences(0, row, given + row * each);
  }
  std::fwrite(edgeship_model, 1, kEdgeshipModelBytes, stdout);
  (void)words;
  return wrong;
}
"""

COUNTED = """
int main() {
  const float zeros[4] = {0.0f, 0.0f, 0.0f, 2.0f};
  const int same = edgeship_golden_differences(0, 0, edgeship_golden_output_0);
  return 10 * same + edgeship_golden_differences(0, 0, zeros);
}
"""


def golden() -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Return four rows as the int8 file takes them."""
    return [to_stored(image_rows(4), made(Precision.INT8).inputs[0])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a written folder of the int8 network."""
    return write_bundle(made(Precision.INT8), golden(), tmp_path_factory.mktemp("micro") / "sources")


def compiled(folder: Path, program: Path) -> None:
    """Compile the check with the folder's model and golden rows."""
    (folder / "check.cc").write_text(CHECK)
    sources = [str(folder / name) for name in ("check.cc", "model_data.cc", "golden.cc")]
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", str(program), *sources]
    subprocess.run(command, check=True, capture_output=True)


def test_every_number_of_an_array_reads_back_the_same() -> None:
    values = np.array([0.1, -3.4e38, 1e-45, 0.0], np.float32)

    text = c_array("numbers", values)
    read = [np.float32(word.strip().rstrip("f")) for word in text.split("{")[1].split("}")[0].split(",")[:-1]]

    assert text.startswith("const float numbers[4] = {")
    assert np.array_equal(np.array(read, np.float32), values)


def test_the_lowest_integers_are_written_as_c_can_read_them() -> None:
    assert "(-2147483647 - 1)" in c_array("low", np.array([-(2**31)], np.int32))


def test_each_operator_is_registered_once() -> None:
    assert registrations(["CONV_2D", "RELU", "CONV_2D"]) == ("AddConv2D", "AddRelu")
    assert missing_operators(["CONV_2D", "GELU", "ERF"]) == ("ERF", "GELU")


@pytest.mark.slow
def test_the_resolver_has_room_for_the_models_operators(folder: Path) -> None:
    text = (folder / "model_operators.h").read_text()

    assert f"MicroMutableOpResolver<{len(made(Precision.INT8).spec.operators)}>" in text
    assert text.count("resolver.Add") == len(made(Precision.INT8).spec.operators)
    assert "resolver.AddConv2D()" in text


@pytest.mark.slow
def test_an_input_that_the_firmware_has_to_turn_is_named(folder: Path, tmp_path: Path) -> None:
    as_given = dataclasses.replace(made(Precision.INT8), adapter=())

    same = write_bundle(as_given, golden(), tmp_path / "same")

    assert "  image: channels last, as in model_data.h" in (folder / "README.txt").read_text()
    assert "channels last" not in (same / "README.txt").read_text()


@pytest.mark.slow
@needs_compiler
def test_compiled_the_folder_holds_the_model_and_accepts_its_golden_answers(folder: Path, tmp_path: Path) -> None:
    compiled(folder, tmp_path / "check")

    right = subprocess.run([tmp_path / "check"], capture_output=True, check=False)
    wrong = subprocess.run([tmp_path / "check", "spoilt"], capture_output=True, check=False)

    assert right.returncode == 0
    assert right.stdout == made(Precision.INT8).content
    assert wrong.returncode == 1


@pytest.mark.slow
@needs_compiler
def test_answers_that_are_no_numbers_are_written_and_compared(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 2.0]], np.float32)
    files = source_files(a_float_net(), Golden(inputs=(values,), outputs=(values,)), arena_bytes=16, arena_words="")
    (tmp_path / "golden.h").write_text(files["golden.h"])
    (tmp_path / "golden.cc").write_text(files["golden.cc"] + COUNTED)

    subprocess.run(["g++", "-std=c++17", "-o", "check", "golden.cc"], cwd=tmp_path, check=True)
    wrong = subprocess.run([tmp_path / "check"], check=False).returncode

    assert wrong == 3


@pytest.mark.slow
def test_the_same_model_and_rows_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    again = write_bundle(made(Precision.INT8), golden(), tmp_path / "again")

    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "check.cc"
    }


@pytest.mark.slow
def test_the_micro_interpreter_answers_as_litert_does() -> None:
    model = made(Precision.INT8)
    (rows,) = golden()

    run = run_micro(model, [rows])
    session = open_session(model, threads=1)
    expected = np.concatenate([session.run({"image": rows[at : at + 1]})["scores"] for at in range(len(rows))])

    assert np.abs(run.outputs[0].astype(np.int32) - expected.astype(np.int32)).max() <= 1
    assert run.arena_bytes % 16 == 0


@pytest.mark.slow
def test_a_file_that_the_runtime_cannot_run_is_refused_in_its_words() -> None:
    with pytest.raises(MeasureFailed, match=r"TensorFlow Lite Micro refuses it .*CONV_2D"):
        run_micro(made(Precision.DYNAMIC))


def test_a_model_of_another_format_is_no_microcontrollers(tmp_path: Path) -> None:
    with pytest.raises(PackingError, match="choose another candidate"):
        write_bundle(an_onnx_mlp(), [], tmp_path)


@pytest.mark.slow
def test_the_arena_stands_in_the_header(tmp_path: Path) -> None:
    folder = write_bundle(a_float_net(), [image_rows(1)], tmp_path)

    arena = run_micro(a_float_net()).arena_bytes

    assert f"kEdgeshipArenaBytes = {arena};" in (folder / "model_data.h").read_text()
