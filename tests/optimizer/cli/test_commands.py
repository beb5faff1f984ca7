"""The commands, on real files: what they print, write and refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from contracts.artifact import read_artifact_file
from optimizer.cli.benchmark import benchmark
from optimizer.cli.optimize import optimize
from optimizer.errors import BudgetError, OptimizerError, PassFailed, PlanError, RecipeError
from tests.optimizer.builders import a_dataset, an_onnx_mlp
from tests.optimizer.cli.desks import RECIPE, run_optimize, run_recipe, write_desk


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with a model, its data and two recipes."""
    return write_desk(tmp_path)


@pytest.mark.slow
def test_optimize_prints_the_table_and_writes_winner_report_and_search(desk: Path) -> None:
    told = run_optimize(desk, "--max-latency", "20ms")

    assert told.exit_code == 0, told.output
    assert "on this machine, not on the target" in told.output
    assert "so the budget of 20.0 ms is not decided" in told.output
    assert "winner" in told.output
    files = {path.name for path in (desk / "out").iterdir()}
    assert {"report.html", "search.json", "winner.lock.toml"} < files
    assert files & {"winner.onnx", "winner.ort", "winner.tflite"}


@pytest.mark.slow
def test_an_onnx_file_is_optimized_without_pruning_and_the_table_says_why(desk: Path) -> None:
    told = run_optimize(desk, "--prune")

    assert told.exit_code == 0, told.output
    assert "pruned: left out, pruning trains the network, and mlp is no torch program but onnx" in told.output


@pytest.mark.slow
def test_recipes_of_an_onnx_file_are_explored_without_pruning_and_the_table_says_why(desk: Path) -> None:
    words = [str(desk / "int8.toml"), "-o", str(desk / "out"), "--store", str(desk / "store"), "--runs", "5"]

    told = run_recipe("explore", *words, "--max-drop", "30pp", "--prune", "2")

    assert told.exit_code == 0, told.output
    assert "pruned: left out, pruning trains the network" in told.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--train", "mine.py:teach"), "--train trains what is pruned; give --prune too"),
        (("--prune", "0"), "0 is not in the range x>=1"),
    ],
)
def test_what_trains_nothing_is_refused(desk: Path, words: tuple[str, ...], sentence: str) -> None:
    told = run_optimize(desk, *words)

    assert told.exit_code == 2
    assert sentence in told.output


def test_a_function_that_is_not_there_is_named_before_any_work(desk: Path) -> None:
    told = run_optimize(desk, "--prune", "2", "--train", f"{desk / 'rows.py'}:teach")

    assert isinstance(told.exception, PassFailed)
    assert "rows.py" in str(told.exception)
    assert not (desk / "out").exists()


@pytest.mark.slow
def test_the_folder_may_be_the_one_where_the_model_lies(desk: Path) -> None:
    before = (desk / "mlp.onnx").read_bytes()
    words = [str(desk / "mlp.onnx"), "--data", str(desk / "rows.npz"), "--target", "raspberry-pi-4"]
    quick = ["--runs", "5", "--store", str(desk / "store"), "--max-drop", "30pp"]

    told = CliRunner().invoke(optimize, [*words, "-o", str(desk), *quick])

    assert told.exit_code == 0, told.output
    assert (desk / "mlp.onnx").read_bytes() == before


@pytest.mark.parametrize("word", [("--max-drop", "1pp"), ("--target", "raspberry-pi-4"), ("--objective", "size")])
def test_what_the_lock_decides_cannot_be_given_beside_it(desk: Path, word: tuple[str, str]) -> None:
    told = CliRunner().invoke(optimize, ["--locked", str(desk / "l.toml"), "-o", str(desk / "out"), *word])

    assert told.exit_code == 2
    assert f"--locked takes {word[0]} from the lock; leave that out" in told.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", "host", "--runner", "env"), "--target host is this machine; leave --runner out"),
        (("--replay", "figures", "--runner", "env"), "--replay measures nothing, so it takes no --runner"),
    ],
)
def test_ways_of_measuring_that_exclude_each_other_are_refused(
    desk: Path, words: tuple[str, ...], sentence: str
) -> None:
    told = run_optimize(desk, *words)

    assert told.exit_code == 2
    assert sentence in told.output


def test_help_lists_the_options_under_headings_with_the_required_ones_first() -> None:
    lines = CliRunner().invoke(optimize, ["--help"]).output.splitlines()

    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Required:", "Budgets:", "Model:", "Data:", "Pruning:", "Measuring:", "What is kept:", "Other:"]
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_elsewhere_than_on_a_terminal_progress_is_a_few_lines_on_the_error_stream(desk: Path) -> None:
    lines = run_optimize(desk).stderr.splitlines()

    shares = [int(line.partition("%")[0]) for line in lines if "%  " in line]
    assert shares == sorted(shares)
    assert 2 <= len(shares) <= 11
    assert min(shares) >= 10


@pytest.mark.slow
def test_packing_reads_the_data_as_the_search_did_though_they_are_not_split(desk: Path) -> None:
    data = a_dataset(an_onnx_mlp(inputs=64))
    assert data.label is not None
    np.savez(desk / "rows.npz", allow_pickle=False, row=data.holdout["row"], grade=data.label)
    run_optimize(desk, "--label", "grade", "--seed", "3", "--calibration-rows", "20")
    artifact = desk / "mlp.artifact"

    packed = run_recipe("pack", str(desk / "out"), "--version", "1.0.0", "--counter", "1", "-o", str(artifact))

    assert packed.exit_code == 0, packed.output
    assert read_artifact_file(artifact).manifest.model == "mlp"


@pytest.mark.slow
def test_a_file_in_onnx_runtimes_own_format_is_shown(desk: Path) -> None:
    more = '\n[[pass]]\nuse = "save-ort"\n'
    (desk / "ort.toml").write_text((desk / "int8.toml").read_text() + more, encoding="utf-8")

    run_recipe("run", str(desk / "ort.toml"), "-o", str(desk / "q.ort"), "--store", str(desk / "store"))
    shown = run_recipe("show", str(desk / "q.ort"))

    assert shown.stdout.startswith("q  ort  ")
    assert "input   row  FP32" in shown.output


@pytest.mark.slow
def test_where_nothing_holds_the_budgets_the_report_is_written_and_the_command_fails(desk: Path) -> None:
    told = run_optimize(desk, "--max-size", "100B")

    assert isinstance(told.exception, BudgetError)
    assert "its size is" in told.output
    assert (desk / "out" / "report.html").exists()


def test_a_profile_that_does_not_exist_is_refused_with_the_nearest(desk: Path) -> None:
    told = run_optimize(desk, "--target", "raspbery-pi-4")

    assert "did you mean raspberry-pi-4" in str(told.exception)


def test_planning_a_recipe_does_no_work(desk: Path) -> None:
    told = run_recipe("plan", str(desk / "int8.toml"))

    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1] == "for raspberry-pi-4: no objection"
    assert "quantize-static(rows=32)  onnx -> onnx  32 calibration rows" in told.output


def test_planning_tells_every_objection_to_the_passes(desk: Path) -> None:
    text = RECIPE.replace('data = "rows.npz"\n', "").replace('"simplify-onnx"', '"export-onnx"')
    (desk / "bad.toml").write_text(text, encoding="utf-8")

    told = run_recipe("plan", str(desk / "bad.toml"))

    assert isinstance(told.exception, RecipeError)
    assert str(told.exception).startswith("2 objections to ")
    assert [line.partition(":")[0] for line in told.output.splitlines()] == ["- export-onnx", "- calibration"]


def test_planning_tells_every_objection_to_model_target_and_metric(desk: Path) -> None:
    text = RECIPE.replace("mlp.onnx", "mpl.onnx").replace("raspberry-pi-4", "raspbery-pi-4")
    (desk / "bad.toml").write_text('metric = "acuracy"\n' + text, encoding="utf-8")

    told = run_recipe("plan", str(desk / "bad.toml"))

    assert "- there is no metric 'acuracy'; did you mean 'accuracy'?" in told.output
    assert "did you mean raspberry-pi-4" in told.output
    assert "mpl.onnx: No such file or directory" in told.output


def test_planning_tells_a_result_that_the_target_does_not_read(desk: Path) -> None:
    (desk / "bad.toml").write_text(RECIPE.replace("raspberry-pi-4", "coral-dev-board"), encoding="utf-8")

    told = run_recipe("plan", str(desk / "bad.toml"))

    assert isinstance(told.exception, PlanError)
    assert "what comes out is onnx, and coral-dev-board reads tflite" in str(told.exception)


@pytest.mark.slow
def test_running_a_recipe_writes_the_model_with_its_lineage(desk: Path) -> None:
    told = run_recipe("run", str(desk / "int8.toml"), "-o", str(desk / "q.onnx"), "--store", str(desk / "store"))
    shown = run_recipe("show", str(desk / "q.onnx"))

    assert told.exit_code == 0, told.output
    assert "quantize-static(rows=32)" in told.output
    assert "quantized" in shown.output


@pytest.mark.slow
def test_exploring_recipes_compares_them(desk: Path) -> None:
    words = [str(desk / "float.toml"), str(desk / "int8.toml"), "-o", str(desk / "out")]

    told = run_recipe("explore", *words, "--runs", "5", "--store", str(desk / "store"), "--max-drop", "30pp")

    assert told.exit_code == 0, told.output
    assert "int8: the smallest that holds the budgets" in told.output


def test_exploring_recipes_about_different_models_is_refused(desk: Path) -> None:
    (desk / "other.toml").write_text(RECIPE.replace("mlp.onnx", "other.onnx"), encoding="utf-8")

    told = run_recipe("explore", str(desk / "int8.toml"), str(desk / "other.toml"), "-o", str(desk / "out"))

    assert isinstance(told.exception, RecipeError)


def test_passes_are_told_from_their_dataclasses() -> None:
    told = run_recipe("passes", "quantize-static")

    assert "rows = 128  calibration rows, at least 1" in told.output


def test_a_field_with_a_closed_set_of_words_lists_them() -> None:
    told = run_recipe("passes", "quantize-tflite")

    assert "what becomes integer, or half precision: int8, mixed, int16x8, dynamic, weights, fp16" in told.output
    assert "how ranges are chosen: minmax, percentile, entropy, mse" in told.output


def test_a_pass_that_does_not_exist_is_refused_with_the_nearest() -> None:
    told = run_recipe("passes", "quantise-static")

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
    assert "one row at a time, in turn" in told.output
    assert "1.00" in told.output


def test_a_folder_that_cannot_be_written_is_one_line_and_said_before_any_work(desk: Path) -> None:
    (desk / "out").touch()

    told = run_optimize(desk)

    assert isinstance(told.exception, OptimizerError)
    assert "cannot write" in str(told.exception)


@pytest.mark.slow
def test_a_limit_of_size_that_the_float_model_misses_still_has_int8_tried(desk: Path) -> None:
    an_onnx_mlp(inputs=640).save(desk / "mlp.onnx")
    rows = np.random.default_rng(0).normal(size=(80, 640)).astype(np.float32)
    np.savez(desk / "rows.npz", allow_pickle=False, row=rows)

    told = run_optimize(desk, "--max-size", "20KB")

    assert told.exit_code == 0, told.output
    assert "onnx int8 static u8s8" in told.output
