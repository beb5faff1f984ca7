"""Running recipes in processes of their own, with a limit, and keeping what they gave."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.cases import Case, Split
from benchmarks.peers.environments import EnvironmentFailed, pinned, python_of, requirements
from benchmarks.peers.inside.exchange import Reader
from benchmarks.peers.inside.nncf_quantize import row_score
from benchmarks.peers.inside.olive_quantize import last_line
from benchmarks.peers.recipes import RECIPES
from benchmarks.peers.work import READS_ONNX_ONLY, limited, peer_result, run_kept, write_case

WRITES = "import sys, json, pathlib; p = pathlib.Path(sys.argv[1]); (p / 'out.onnx').write_bytes(b'x')"
NOTES = "; (p / 'result.json').write_text(json.dumps({'peak_rss_bytes': 5, 'error': ''}))"


def tiny(folder: Path, *, name: str = "net.onnx") -> Case:
    model = folder / name
    model.write_bytes(b"model")
    rows = Split(rows={"x": np.zeros((3, 2), dtype=np.float32)}, label=np.arange(3))
    return Case(name="net", model=model, calibration=rows, judged=rows, scored=rows)


def told(_: str) -> None:
    pass


@pytest.mark.slow
def test_a_command_over_its_limit_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    child = f"import os, time, pathlib; pathlib.Path({str(marker)!r}).write_text(str(os.getpid())); time.sleep(60)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    started = time.monotonic()

    line = limited(command, tmp_path / "log", limit_s=2.0)

    assert line == "not done after 2 s"
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        wait_until_gone(int(marker.read_text(encoding="utf-8")))


def wait_until_gone(pid: int) -> None:
    """Raise ProcessLookupError once the process has ended."""
    for _ in range(200):
        os.kill(pid, 0)
        time.sleep(0.05)


@pytest.mark.slow
def test_a_command_that_fails_says_its_last_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('first'); print('no such model'); sys.exit(3)"]

    assert limited(command, tmp_path / "log", limit_s=30) == "status 3: no such model"


@pytest.mark.slow
def test_what_a_script_gave_appears_whole_with_its_time(tmp_path: Path) -> None:
    kept = tmp_path / "results" / "kept"

    run_kept([sys.executable, "-c", WRITES + NOTES], (), kept, limit_s=30)

    note = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    assert (note["peak_rss_bytes"], note["error"]) == (5, "")
    assert note["process_seconds"] > 0
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]


@pytest.mark.slow
def test_a_script_that_dies_without_a_note_is_a_result_that_says_so(tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    run_kept([sys.executable, "-c", "import sys; sys.exit('killed by its own hand')"], (), kept, limit_s=30)

    note = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    assert note["error"] == "status 1: killed by its own hand"


def test_a_tflite_model_is_a_row_that_says_why_no_peer_has_it(tmp_path: Path) -> None:
    case = tiny(tmp_path, name="net.tflite")

    given = peer_result(RECIPES[0], case, tmp_path, cache=tmp_path, limit_s=1, told=told)

    assert (given.path, given.error) == (None, READS_ONNX_ONLY)


def test_a_recipe_for_transformers_leaves_others_alone(tmp_path: Path) -> None:
    recipe = next(recipe for recipe in RECIPES if recipe.transformers_only)

    given = peer_result(recipe, tiny(tmp_path), tmp_path, cache=tmp_path, limit_s=1, told=told)

    assert given.path is None
    assert "not recommended here" in given.error


def test_a_case_is_written_once_with_labels_or_the_originals_answers(tmp_path: Path) -> None:
    case = tiny(tmp_path)

    folder = write_case(case, {}, tmp_path / "cases")
    again = write_case(case, {}, tmp_path / "cases")

    assert folder == again
    assert json.loads((folder / "case.json").read_text(encoding="utf-8"))["max_drop"] == 0.005
    with np.load(folder / "validation.npz") as held:
        assert sorted(held.files) == ["label", "x"]


def test_every_environment_is_pinned_and_named_by_its_pins() -> None:
    names = sorted({recipe.environment for recipe in RECIPES})
    lines = [line for name in names for line in requirements(name).read_text(encoding="utf-8").splitlines()]

    assert all("==" in line for line in lines if not line.startswith("#"))
    assert len({pinned(name) for name in names}) == len(names)


def test_an_environment_that_is_ready_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "environments" / f"ort-{pinned('ort')[:12]}"
    folder.mkdir(parents=True)
    (folder / "ready").touch()

    assert python_of("ort", tmp_path, told) == folder / "bin" / "python"


def test_an_environment_that_is_not_listed_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, EnvironmentFailed)):
        python_of("nobody", tmp_path, told)


def test_a_reader_gives_every_row_once_and_again_after_rewinding() -> None:
    rows = [{"x": np.array([1])}, {"x": np.array([2])}]
    reader = Reader(rows)

    given = [reader.get_next(), reader.get_next(), reader.get_next()]
    reader.rewind()

    assert given == [*rows, None]
    assert reader.get_next() is rows[0]


@pytest.mark.parametrize(("answer", "truth", "kind", "score"), [
    ([0.1, 0.9], [1], "class", 1.0),
    ([0.1, 0.9], [0], "class", 0.0),
    ([0.7], [1], "class", 1.0),
    ([2.0], [1.0], "quantity", -1.0),
    ([3.0, 0.0], [1.0, 0.0], "original", 1.0),
])  # fmt: skip
def test_accuracy_control_is_given_a_score_for_each_row(
    answer: list[float], truth: list[float], kind: str, score: float
) -> None:
    assert row_score(np.array([answer]), np.array(truth), kind) == pytest.approx(score)


def test_a_peers_last_words_are_its_last_line() -> None:
    assert last_line("one\nModuleNotFoundError: no datasets\n\n") == "ModuleNotFoundError: no datasets"
    assert last_line("") == ""
