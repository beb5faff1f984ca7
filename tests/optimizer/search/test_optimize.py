"""The whole search on small models: what is tried, what wins, what the data must fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from contracts.manifest import ModelFormat, TakenOn
from contracts.preprocessing import Step, StepKind
from optimizer.benchmark.timing import Effort
from optimizer.data.dataset import Dataset
from optimizer.errors import DatasetError, OptimizerError, PlanError
from optimizer.model import Format
from optimizer.passes import ExportTflite
from optimizer.pipeline import Pipeline
from optimizer.search.budget import OptimizeBudget
from optimizer.search.candidate import Search, Verdict
from optimizer.search.case import Bench, Case, unscaled_notes
from optimizer.search.folder import check_folder, read_search, write_search
from optimizer.search.optimize import optimize
from tests.optimizer.builders import a_dataset, a_profile, a_torch_convnet, an_onnx_mlp, rows
from tests.optimizer.search.searches import SCALE, an_image_dataset, an_image_model

_QUICK = Bench(effort=Effort(runs=10, warmup=2, least_runs=2))
_BOTH = (ModelFormat.ONNX, ModelFormat.TFLITE)


@pytest.fixture(scope="module")
def mlp_search() -> Search:
    """Return the search on an MLP for a board that reads both formats."""
    model = an_onnx_mlp(inputs=64)
    budget = OptimizeBudget(max_drop=0.25, max_latency_ms=5.0)
    return optimize(model, a_dataset(model), a_profile(formats=_BOTH), budget=budget, bench=_QUICK)


@pytest.mark.slow
def test_every_attempt_is_a_candidate_or_a_failure_once(mlp_search: Search) -> None:
    tried = [one.label for one in mlp_search.candidates] + [one.label for one in mlp_search.failures]

    assert len(set(tried)) == len(tried)
    assert {"as given", "onnx float", "tflite float", "onnx int8 static u8s8", "tflite int8"} <= set(tried)


@pytest.mark.slow
def test_a_file_that_repeats_another_is_named_and_not_judged_twice(mlp_search: Search) -> None:
    digests = [one.model.digest for one in mlp_search.candidates]
    repeated = {one.label: one.cause for one in mlp_search.failures if one.code == "same_file"}

    assert len(set(digests)) == len(digests)
    assert set(repeated.values()) <= {f"the same file as {one.label}" for one in mlp_search.candidates}


@pytest.mark.slow
def test_int8_wins_by_size_and_the_float_files_say_why_they_lost(mlp_search: Search) -> None:
    winner = mlp_search.winner

    assert winner is not None
    assert winner.model.spec.quantized
    assert winner.size_bytes < mlp_search.original.size_bytes
    assert all(one.reason for one in mlp_search.candidates)


@pytest.mark.slow
def test_figures_are_this_machines_and_the_targets_latency_stays_open(mlp_search: Search) -> None:
    assert {one.latency.n for one in mlp_search.candidates} == {10}
    assert {one.latency.taken_on for one in mlp_search.candidates} == {TakenOn.HOST}
    assert {one.latency.machine for one in mlp_search.candidates} == {mlp_search.machine}
    assert mlp_search.notes[0].endswith("so the budget of 5.00 ms is not decided.")


@pytest.mark.slow
def test_a_search_survives_the_way_through_a_folder(mlp_search: Search, tmp_path: Path) -> None:
    winner = mlp_search.winner

    written = write_search(mlp_search, tmp_path)

    assert read_search(tmp_path) == mlp_search
    assert winner is not None
    assert written.read_bytes() == winner.model.content


@pytest.mark.slow
def test_a_model_file_that_was_altered_in_the_folder_is_refused(mlp_search: Search, tmp_path: Path) -> None:
    write_search(mlp_search, tmp_path)
    other = an_onnx_mlp(seed=99, inputs=64)
    kept = tmp_path / "models" / f"{mlp_search.original.digest[:16]}.onnx"
    kept.write_bytes(other.content)

    with pytest.raises(OptimizerError, match="differs from its digest"):
        read_search(tmp_path)


def test_a_folder_without_a_search_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptimizerError, match="give a folder that optimize wrote"):
        read_search(tmp_path)


@pytest.mark.slow
def test_a_torch_convnet_for_an_integer_target_is_full_int8_and_serves_the_same_inputs() -> None:
    model = a_torch_convnet()
    target = a_profile(formats=(ModelFormat.TFLITE,), full_int8=True)
    double = Step(kind=StepKind.SCALE, tensor="image", factor=(0.5,))
    data = a_dataset(model)
    doubled = Dataset.of(
        calibration={"image": data.calibration["image"].astype(np.float32) * 2},
        holdout={"image": data.holdout["image"].astype(np.float32) * 2},
        label=data.label,
    )

    search = optimize(
        model, doubled, target, budget=OptimizeBudget(max_drop=0.2), preprocessing=(double,), bench=_QUICK
    )

    winner = search.winner
    assert winner is not None
    assert winner.label == "tflite int8"
    assert winner.preprocessing == (double, Step(kind=StepKind.CHANNEL_LAST, tensor="image"))
    assert [spec.name for spec in winner.inputs] == ["image"]
    assert search.original_fidelity.accuracy == 1.0
    assert winner.fidelity.others["agreement"] > 0.8
    assert [one.verdict for one in search.candidates if one.label == "tflite float"] == [Verdict.UNFIT]


@pytest.mark.slow
def test_no_budget_that_holds_means_no_winner_and_reasons() -> None:
    model = an_onnx_mlp()

    search = optimize(model, a_dataset(model), a_profile(), budget=OptimizeBudget(max_size_bytes=100), bench=_QUICK)

    assert search.winner is None
    assert {one.code for one in search.failures} == {"over_size"}


@pytest.mark.slow
def test_progress_only_grows_and_ends_at_one() -> None:
    model, told = an_onnx_mlp(), list[float]()

    optimize(model, a_dataset(model), a_profile(), bench=_QUICK, progress=lambda _, share: told.append(share))

    assert told == sorted(told)
    assert told[-1] == 1.0


def test_data_of_the_wrong_shape_are_refused_before_any_work_naming_each_tensor() -> None:
    data = Dataset.of(calibration={"row": rows((11,))}, holdout={"row": rows((12, 1))})

    with pytest.raises(DatasetError) as caught:
        optimize(an_onnx_mlp(), data, a_profile())

    assert str(caught.value) == (
        "the data do not fit the model: calibration/row: expected shape (n, 12), got (64, 11); "
        "holdout/row: expected shape (n, 12), got (64, 12, 1); correct the data"
    )


def test_labels_that_are_no_classes_of_the_model_are_refused() -> None:
    data = Dataset.of(calibration={"row": rows((12,))}, holdout={"row": rows((12,))}, label=np.arange(64))

    with pytest.raises(DatasetError, match="classes 0 to 63, but output 'scores' has shape"):
        optimize(an_onnx_mlp(), data, a_profile())


def test_a_format_that_leads_nowhere_is_refused() -> None:
    model = an_onnx_mlp()
    tflite = dataclasses.replace(model, spec=dataclasses.replace(model.spec, format=Format.TFLITE))

    with pytest.raises(PlanError, match="test-board reads onnx, and no pass leads there from tflite"):
        optimize(tflite, a_dataset(model), a_profile())


@pytest.mark.slow
def test_a_quantized_model_is_only_tried_as_it_is_and_saved_otherwise() -> None:
    model = an_onnx_mlp()
    quantized = dataclasses.replace(model, spec=dataclasses.replace(model.spec, quantized=True))

    search = optimize(quantized, a_dataset(model), a_profile(), bench=_QUICK)

    tried = [one.label for one in search.candidates] + [one.label for one in search.failures]
    assert {label.partition(",")[0] for label in tried} == {"as given"}


def test_unscaled_inputs_without_preprocessing_are_noted_and_scaled_ones_are_not() -> None:
    case = Case(model=an_image_model(), dataset=an_image_dataset(), target=a_profile())

    (note,) = unscaled_notes(case)

    assert note.startswith("no preprocessing given; image ranges ")
    assert "name it with --preprocess image:scale=0.06" in note
    assert unscaled_notes(dataclasses.replace(case, preprocessing=SCALE)) == ()


@pytest.mark.slow
def test_a_float_tflite_model_is_tried_in_int8() -> None:
    onnx = an_image_model()
    product = Pipeline(ExportTflite()).plan(onnx, a_profile(formats=(ModelFormat.TFLITE,))).run()
    channel_last = Dataset.of(
        calibration={"image": np.moveaxis(an_image_dataset().calibration["image"], 1, -1)},
        holdout={"image": np.moveaxis(an_image_dataset().holdout["image"], 1, -1)},
    )
    given = dataclasses.replace(product.model, adapter=())

    search = optimize(given, channel_last, a_profile(formats=(ModelFormat.TFLITE,)), bench=_QUICK)

    assert {"as given", "tflite int8"} <= {one.label for one in search.candidates}


@pytest.mark.slow
@pytest.mark.parametrize("digest", ["../../../etc/passwd", "0" * 63, ""])
def test_a_searchs_folder_reads_no_file_but_its_own(mlp_search: Search, tmp_path: Path, digest: str) -> None:
    write_search(mlp_search, tmp_path)
    facts = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    facts["original"]["model"]["digest"] = digest
    (tmp_path / "search.json").write_text(json.dumps(facts), encoding="utf-8")

    with pytest.raises(OptimizerError, match="is no search, or damaged"):
        read_search(tmp_path)


@pytest.mark.slow
def test_a_link_in_a_searchs_folder_is_not_followed(mlp_search: Search, tmp_path: Path) -> None:
    write_search(mlp_search, tmp_path)
    model = tmp_path / "models" / f"{mlp_search.original.digest[:16]}.onnx"
    model.rename(tmp_path / "elsewhere.onnx")
    model.symlink_to(tmp_path / "elsewhere.onnx")

    with pytest.raises(OptimizerError, match="is no file of its own"):
        read_search(tmp_path)


@pytest.mark.slow
def test_an_original_that_is_worse_than_chance_is_doubted_naming_the_order_of_classes() -> None:
    data = an_image_dataset()
    assert data.label is not None
    turned = Dataset.of(
        calibration={"image": data.calibration["image"]},
        holdout={"image": data.holdout["image"]},
        label=(data.label + 1) % 3,
        labels=data.labels,
    )

    search = optimize(
        an_image_model(), turned, a_profile(), budget=OptimizeBudget(max_drop=1.0), preprocessing=SCALE, bench=_QUICK
    )

    assert "more seldom than by chance" in search.notes[0]
    assert "ash = 0, birch = 1, cedar = 2" in search.notes[0]


@pytest.mark.slow
def test_the_folder_of_another_models_search_is_refused(mlp_search: Search, tmp_path: Path) -> None:
    write_search(mlp_search, tmp_path)

    check_folder(tmp_path, mlp_search.original)
    with pytest.raises(OptimizerError, match="holds the search of another model"):
        check_folder(tmp_path, an_image_model())
