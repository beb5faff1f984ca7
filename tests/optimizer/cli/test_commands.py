"""The commands, on real files: what they print, write and refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from contracts.artifact import read_artifact_file
from optimizer.cli.benchmark import benchmark
from optimizer.cli.optimize import optimize
from optimizer.cli.recipe import recipe
from optimizer.errors import BudgetError, OptimizerError, PackingError, PlanError, RecipeError
from tests.optimizer.builders import a_dataset, an_onnx_mlp

_RECIPE = """\
model = "mlp.onnx"
target = "raspberry-pi-4"
data = "rows.npz"

[[pass]]
use = "simplify-onnx"

[[pass]]
use = "quantize-static"
rows = 32
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with a model, its data and a recipe."""
    model = an_onnx_mlp(inputs=64)
    data = a_dataset(model)
    assert data.label is not None
    model.save(tmp_path / "mlp.onnx")
    np.savez(
        tmp_path / "rows.npz",
        allow_pickle=False,
        **{
            "calibration/row": data.calibration["row"],
            "holdout/row": data.holdout["row"],
            "holdout/label": data.label,
        },
    )
    (tmp_path / "int8.toml").write_text(_RECIPE, encoding="utf-8")
    (tmp_path / "float.toml").write_text(_RECIPE.partition('\n[[pass]]\nuse = "quantize')[0], encoding="utf-8")
    return tmp_path


def _optimize(desk: Path, *more: str) -> Result:
    words = [str(desk / "mlp.onnx"), "--data", str(desk / "rows.npz"), "--target", "raspberry-pi-4"]
    quick = ["--runs", "5", "--store", str(desk / "store"), "--max-drop", "30pp"]
    return CliRunner().invoke(optimize, [*words, "-o", str(desk / "out"), *quick, *more], env={"COLUMNS": "160"})


def _recipe(*words: str) -> Result:
    return CliRunner().invoke(recipe, words, env={"COLUMNS": "160"})


@pytest.mark.slow
def test_optimize_prints_the_table_and_writes_winner_report_and_search(desk: Path) -> None:
    told = _optimize(desk, "--max-latency", "20ms")

    assert told.exit_code == 0, told.output
    assert "this machine" in told.output
    assert "so the budget of 20.0 ms is not decided" in told.output
    assert "winner" in told.output
    assert sorted(path.name for path in (desk / "out").iterdir())[-2:] == ["report.html", "search.json"]
    assert list((desk / "out").glob("mlp.*"))


@pytest.mark.slow
def test_what_was_optimized_can_be_compared_shown_and_packed(desk: Path) -> None:
    _optimize(desk)
    out, artifact = str(desk / "out"), desk / "mlp.artifact"

    compared = _recipe("compare", out)
    packed = _recipe(
        "pack", out, "--data", str(desk / "rows.npz"), "--version", "1.0.0", "--counter", "1", "-o", str(artifact)
    )
    shown = _recipe("show", str(artifact))

    assert "mlp for raspberry-pi-4" in compared.output
    assert packed.exit_code == 0, packed.output
    assert read_artifact_file(artifact).manifest.model == "mlp"
    assert shown.output.startswith("mlp@1.0.0 (counter 1) for raspberry-pi-4")


@pytest.mark.slow
def test_packing_with_other_data_is_refused(desk: Path) -> None:
    _optimize(desk)
    other = desk / "other.npz"
    rows = np.zeros((4, 12), np.float32)
    np.savez(other, allow_pickle=False, **{"calibration/row": rows, "holdout/row": rows})

    told = _recipe(
        "pack", str(desk / "out"), "--data", str(other), "--version", "1", "--counter", "1", "-o", str(desk / "a")
    )

    assert isinstance(told.exception, PackingError)
    assert "not the data" in str(told.exception)


@pytest.mark.slow
def test_where_nothing_holds_the_budgets_the_report_is_written_and_the_command_fails(desk: Path) -> None:
    told = _optimize(desk, "--max-size", "100B")

    assert isinstance(told.exception, BudgetError)
    assert "its size is" in told.output
    assert (desk / "out" / "report.html").exists()


def test_a_profile_that_does_not_exist_is_refused_with_the_nearest(desk: Path) -> None:
    told = _optimize(desk, "--target", "raspbery-pi-4")

    assert "did you mean raspberry-pi-4" in str(told.exception)


def test_planning_a_recipe_does_no_work(desk: Path) -> None:
    told = _recipe("plan", str(desk / "int8.toml"))

    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1] == "for raspberry-pi-4: no objection"
    assert "quantize-static(rows=32)  onnx -> onnx  32 calibration rows" in told.output


def test_planning_tells_every_objection(desk: Path) -> None:
    text = _RECIPE.replace('data = "rows.npz"\n', "").replace('"simplify-onnx"', '"export-onnx"')
    (desk / "bad.toml").write_text(text, encoding="utf-8")

    told = _recipe("plan", str(desk / "bad.toml"))

    assert isinstance(told.exception, PlanError)
    assert [sentence.partition(":")[0] for sentence in told.exception.objections] == ["export-onnx", "calibration"]


@pytest.mark.slow
def test_running_a_recipe_writes_the_model_with_its_lineage(desk: Path) -> None:
    told = _recipe("run", str(desk / "int8.toml"), "-o", str(desk / "q.onnx"), "--store", str(desk / "store"))
    shown = _recipe("show", str(desk / "q.onnx"))

    assert told.exit_code == 0, told.output
    assert "quantize-static(rows=32)" in told.output
    assert "quantized" in shown.output


@pytest.mark.slow
def test_exploring_recipes_compares_them(desk: Path) -> None:
    words = [str(desk / "float.toml"), str(desk / "int8.toml"), "-o", str(desk / "out")]

    told = _recipe("explore", *words, "--runs", "5", "--store", str(desk / "store"), "--max-drop", "30pp")

    assert told.exit_code == 0, told.output
    assert "int8: the smallest that holds the budgets" in told.output


def test_exploring_recipes_about_different_models_is_refused(desk: Path) -> None:
    (desk / "other.toml").write_text(_RECIPE.replace("mlp.onnx", "other.onnx"), encoding="utf-8")

    told = _recipe("explore", str(desk / "int8.toml"), str(desk / "other.toml"), "-o", str(desk / "out"))

    assert isinstance(told.exception, RecipeError)


def test_passes_are_told_from_their_dataclasses() -> None:
    told = _recipe("passes", "quantize-static")

    assert "rows = 128  calibration rows, at least 1" in told.output


def test_a_pass_that_does_not_exist_is_refused_with_the_nearest() -> None:
    told = _recipe("passes", "quantise-static")

    assert "did you mean 'quantize-static'?" in str(told.exception)


@pytest.mark.slow
def test_benchmark_alternates_models_and_names_the_machine(desk: Path) -> None:
    an_onnx_mlp(inputs=40).save(desk / "wide.onnx")

    told = CliRunner().invoke(
        benchmark,
        [str(desk / "mlp.onnx"), "--against", str(desk / "wide.onnx"), "--runs", "5"],
        env={"COLUMNS": "160"},
    )

    assert told.exit_code == 0, told.output
    assert "this machine" in told.output
    assert "1.00" in told.output


def test_a_folder_that_cannot_be_written_is_one_line_and_said_before_any_work(desk: Path) -> None:
    (desk / "out").touch()

    told = _optimize(desk)

    assert isinstance(told.exception, OptimizerError)
    assert "cannot write" in str(told.exception)
