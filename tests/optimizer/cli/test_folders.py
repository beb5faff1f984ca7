"""What a search wrote: compared, shown, packed and replayed, at another place than where it was written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from contracts.artifact import read_artifact_file
from optimizer.cli.optimize import optimize
from optimizer.errors import OptimizerError, PackingError
from optimizer.search.lock import read_lock
from tests.optimizer.cli.desks import run_optimize, run_recipe, write_desk

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its data and, in ``out``, what a search on them wrote."""
    desk = write_desk(tmp_path_factory.mktemp("written"))
    told = run_optimize(desk)
    assert told.exit_code == 0, told.output
    return desk


@pytest.fixture
def desk(written: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder at another place, to change."""
    return Path(shutil.copytree(written, tmp_path / "moved" / "here"))


def test_a_replay_of_the_lock_writes_the_same_file_and_a_lock_that_counts_from_there(desk: Path) -> None:
    winner = next((desk / "out").glob("winner.[ot]*"))
    lock, again = desk / "out" / "winner.lock.toml", desk / "deep" / "again"

    told = CliRunner().invoke(optimize, ["--locked", str(lock), "-o", str(again), "--store", str(desk / "store-2")])

    assert told.exit_code == 0, told.output
    assert (again / winner.name).read_bytes() == winner.read_bytes()
    assert read_lock(again / lock.name) == read_lock(lock)


def test_a_model_and_data_that_moved_are_named_beside_the_lock(desk: Path) -> None:
    lock = desk / "out" / "winner.lock.toml"
    (desk / "mlp.onnx").rename(desk / "moved.onnx")
    (desk / "rows.npz").rename(desk / "moved.npz")

    words = [str(desk / "moved.onnx"), "--data", str(desk / "moved.npz"), "--locked", str(lock)]
    told = CliRunner().invoke(optimize, [*words, "-o", str(desk / "again"), "--store", str(desk / "store")])

    assert told.exit_code == 0, told.output
    assert read_lock(desk / "again" / lock.name).recipe.subject.model == str(desk / "moved.onnx")


def test_what_was_optimized_can_be_compared_shown_and_packed(desk: Path) -> None:
    out, artifact = str(desk / "out"), desk / "mlp.artifact"

    compared = run_recipe("compare", out)
    packed = run_recipe("pack", out, "--version", "1.0.0", "--counter", "1", "-o", str(artifact))
    shown = run_recipe("show", str(artifact))

    assert "mlp for raspberry-pi-4" in compared.output
    assert packed.exit_code == 0, packed.output
    assert read_artifact_file(artifact).manifest.model == "mlp"
    assert shown.output.startswith("mlp@1.0.0 (counter 1) for raspberry-pi-4")


def test_packing_after_the_data_moved_asks_for_them(desk: Path) -> None:
    (desk / "rows.npz").rename(desk / "moved.npz")
    words = ["pack", str(desk / "out"), "--version", "1.0.0", "--counter", "1", "-o", str(desk / "a")]

    lost = run_recipe(*words)
    found = run_recipe(*words, "--data", str(desk / "moved.npz"))

    assert isinstance(lost.exception, OptimizerError)
    assert "rows.npz" in str(lost.exception)
    assert found.exit_code == 0, found.output


def test_a_folder_shows_its_winner_and_any_candidates_recipe_as_toml_that_runs(desk: Path) -> None:
    out = str(desk / "out")

    shown = run_recipe("show", out)
    toml = run_recipe("show", out, "--recipe", "onnx int8 static u8s8")
    (desk / "taken.toml").write_text(toml.output, encoding="utf-8")
    planned = run_recipe("plan", str(desk / "taken.toml"))

    assert shown.output.startswith("mlp for raspberry-pi-4: ")
    assert "winner: " in shown.output
    assert 'use = "quantize-static"' in toml.output
    assert planned.output.splitlines()[-1] == "for raspberry-pi-4: no objection"


def test_a_candidate_that_is_not_there_names_the_nearest(desk: Path) -> None:

    told = run_recipe("show", str(desk / "out"), "--recipe", "onnx int9 static u8s8")

    assert "did you mean 'onnx int8 static u8s8'?" in str(told.exception)


def test_a_lock_shows_what_it_locks_and_how_to_make_it_again(desk: Path) -> None:
    lock = str(desk / "out" / "winner.lock.toml")

    lines = run_recipe("show", lock).output.splitlines()

    assert lines[0].startswith("# lock of ")
    assert f"# make it again: edgeship optimize --locked {lock} -o FOLDER" in lines
    assert any(line.startswith("model = ") for line in lines)


def test_several_folders_are_compared_by_their_winners(desk: Path) -> None:
    run_recipe("explore", str(desk / "float.toml"), "-o", str(desk / "other"), "--runs", "5", "--max-drop", "30pp")

    told = run_recipe("compare", str(desk / "out"), str(desk / "other"))

    assert "the winner of each folder" in told.output
    assert "float" in told.output
    assert "verdict" not in told.output


def test_packing_with_other_data_is_refused(desk: Path) -> None:
    other = desk / "other.npz"
    rows = np.zeros((4, 12), np.float32)
    np.savez(other, allow_pickle=False, **{"calibration/row": rows, "holdout/row": rows})

    told = run_recipe(
        "pack", str(desk / "out"), "--data", str(other), "--version", "1", "--counter", "1", "-o", str(desk / "a")
    )

    assert isinstance(told.exception, PackingError)
    assert "not the data" in str(told.exception)


def test_packing_runs_the_function_that_gave_the_data_only_on_the_users_word(written: Path, tmp_path: Path) -> None:
    code = "import numpy as np\n\ndef rows():\n    return dict(row=np.random.default_rng(0).random((60, 64)))\n"
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    data, out = f"{tmp_path / 'mine.py'}:rows", str(tmp_path / "out")
    made = run_recipe_on(written, data, out)
    words = ["pack", out, "--version", "1.0.0", "--counter", "1", "-o", str(tmp_path / "mlp.artifact")]

    refused, named, allowed = run_recipe(*words), run_recipe(*words, "--data", data), run_recipe(*words, "--run-code")

    assert made.exit_code == 0, made.output
    assert isinstance(refused.exception, PackingError)
    assert "mine.py:rows: look at that code, then give --run-code" in str(refused.exception)
    assert (named.exit_code, allowed.exit_code) == (0, 0)


def run_recipe_on(desk: Path, data: str, out: str) -> Result:
    """Explore the float recipe of the desk on other data."""
    recipe = desk / "function.toml"
    text = (desk / "float.toml").read_text(encoding="utf-8").replace('"rows.npz"', f'"{data}"')
    recipe.write_text(text, encoding="utf-8")
    return run_recipe("explore", str(recipe), "-o", out, "--runs", "5", "--max-drop", "30pp")
