"""From a candidate to an artifact that reproduces its own answers."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from contracts.artifact import Artifact, read_artifact, write_artifact
from contracts.ids import ProfileName
from contracts.manifest import Budget, ModelFormat, TakenOn
from contracts.preprocessing import StepKind
from contracts.tensors import ElementType
from optimizer.data.dataset import Dataset
from optimizer.errors import PackingError
from optimizer.packing import pack, verify_packed
from optimizer.packing.lineage import measurements
from optimizer.search.candidate import Candidate, Verdict
from tests.optimizer.search.searches import a_search, an_image_dataset, the_winner

BOTH = (ModelFormat.ONNX, ModelFormat.TFLITE)


def packed(candidate: Candidate, *, dataset: Dataset | None = None, version: str = "1.2.0", rows: int = 16) -> bytes:
    """Return the artifact of the candidate."""
    return pack(
        candidate,
        version=version,
        counter=7,
        profile=ProfileName("test-board"),
        dataset=dataset or an_image_dataset(),
        budget=Budget(latency_p95_ms=20.0),
        golden_rows=rows,
    )


@cache
def an_int8_artifact() -> Artifact:
    """Return the packed full-int8 winner."""
    return read_artifact(packed(the_winner(a_search(full_int8=True))))


@pytest.mark.slow
@pytest.mark.parametrize("label", ["onnx float", "onnx int8 static u8s8", "tflite float", "tflite int8"])
def test_every_kind_of_candidate_reproduces_its_golden_answers(label: str) -> None:
    candidate = next(one for one in a_search(formats=BOTH).candidates if one.label == label)

    verified = verify_packed(read_artifact(packed(candidate)))

    assert verified.rows == 16
    assert verified.disagreements == 0
    assert verified.max_difference == 0.0


def test_clients_send_the_original_layout_in_raw_values_and_get_real_ones() -> None:
    manifest = an_int8_artifact().manifest

    assert [(one.name, one.element, one.shape) for one in manifest.inputs] == [
        ("image", ElementType.FP32, (-1, 1, 8, 8))
    ]
    assert [(one.name, one.element, one.shape) for one in manifest.outputs] == [("scores", ElementType.FP32, (-1, 3))]
    assert [step.kind for step in manifest.preprocessing] == [StepKind.SCALE, StepKind.CHANNEL_LAST]


def test_the_model_files_own_tensors_are_recorded() -> None:
    manifest = an_int8_artifact().manifest

    assert [(one.element, one.shape) for one in manifest.model_inputs] == [(ElementType.INT8, (-1, 8, 8, 1))]
    assert manifest.model_inputs[0].quantization is not None


def test_integer_scans_are_served_as_integers() -> None:
    data = an_image_dataset()
    assert data.label is not None
    whole = Dataset.of(
        calibration={"image": data.calibration["image"].astype(np.uint8)},
        holdout={"image": data.holdout["image"].astype(np.uint8)},
        label=data.label,
    )

    manifest = read_artifact(packed(the_winner(a_search(full_int8=True)), dataset=whole)).manifest

    assert manifest.inputs[0].element is ElementType.UINT8


def test_the_tolerance_of_int8_is_two_steps_of_its_output() -> None:
    manifest = an_int8_artifact().manifest

    quantization = manifest.model_outputs[0].quantization
    assert quantization is not None
    assert manifest.golden.tolerance == pytest.approx(2 * quantization.scale, rel=1e-3)


def test_golden_rows_have_a_clear_top_class() -> None:
    artifact = an_int8_artifact()
    answers = np.frombuffer(artifact.members["golden/output/0"], dtype="<f4").reshape(-1, 3)

    ordered = np.sort(answers, axis=1)

    assert (ordered[:, -1] - ordered[:, -2] > 2 * artifact.manifest.golden.tolerance).all()


def test_figures_taken_on_the_target_are_packed_as_the_targets() -> None:
    winner = the_winner(a_search(full_int8=True))
    there = dataclasses.replace(winner.latency, machine="a board, 4 cores", taken_on=TakenOn.TARGET)

    taken = {one.name: one for one in measurements(dataclasses.replace(winner, latency=there))}

    assert {name for name, one in taken.items() if one.taken_on is TakenOn.TARGET} == {
        "latency_p50_ms",
        "latency_p95_ms",
        "memory_bytes",
    }
    assert taken["latency_p95_ms"].machine == "a board, 4 cores"
    assert taken["accuracy"].machine == winner.latency.machine


def test_every_measurement_of_a_host_is_the_hosts_and_never_the_targets() -> None:
    taken = {one.name: one for one in an_int8_artifact().manifest.measurements}

    assert {one.taken_on for one in taken.values()} == {TakenOn.HOST}
    assert taken["latency_p50_ms"].n >= 20
    assert taken["accuracy"].n == 120


def test_the_lineage_leads_back_to_source_data_and_tools() -> None:
    lineage = an_int8_artifact().manifest.lineage

    assert lineage.source == a_search(full_int8=True).original.digest
    assert lineage.data == an_image_dataset().digest
    assert [text.partition("(")[0] for text in lineage.passes] == ["simplify-onnx", "export-tflite", "quantize-tflite"]
    assert lineage.tools["ai-edge-quantizer"]
    assert lineage.code_version


def test_the_sketch_plan_counts_the_served_answers() -> None:
    plan = an_int8_artifact().manifest.sketch_plan

    assert sum(plan.output.class_counts) == 120
    assert len(plan.output.class_counts) == 3
    assert [feature.name for feature in plan.features[:3]] == ["image.brightness", "image.contrast", "image.sharpness"]
    assert {feature.reference.rows for feature in plan.features} == {220}


def test_labels_come_from_the_data() -> None:
    assert an_int8_artifact().manifest.labels == ("ash", "birch", "cedar")


def test_the_same_candidate_packs_to_the_same_bytes() -> None:
    candidate = the_winner(a_search(full_int8=True))

    assert packed(candidate) == packed(candidate)


def test_changed_golden_answers_are_noticed() -> None:
    artifact = an_int8_artifact()
    answers = np.frombuffer(artifact.members["golden/output/0"], dtype="<f4") + np.float32(5)
    changed = dict(artifact.members) | {"golden/output/0": answers.astype("<f4").tobytes()}
    forged = read_artifact(write_artifact(artifact.manifest, changed))

    with pytest.raises(PackingError, match="golden answers differ by 5"):
        verify_packed(forged)


def test_a_manifest_that_misstates_the_model_is_noticed() -> None:
    artifact = an_int8_artifact()
    wrong = tuple(dataclasses.replace(one, shape=(1, 1, 8, 8)) for one in artifact.manifest.model_inputs)
    forged = Artifact(manifest=dataclasses.replace(artifact.manifest, model_inputs=wrong), members=artifact.members)

    with pytest.raises(PackingError, match="not those of the model file"):
        verify_packed(forged)


def test_a_candidate_that_the_target_cannot_run_is_refused_with_the_reason() -> None:
    unfit = next(one for one in a_search(full_int8=True).candidates if one.verdict is Verdict.UNFIT)

    with pytest.raises(PackingError, match=r"tflite float can't be shipped: .*int8"):
        packed(unfit)


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(PackingError, match="release version 'not a version'"):
        packed(the_winner(a_search(full_int8=True)), version="not a version")


def test_data_of_another_shape_is_refused_by_tensor() -> None:
    other = Dataset.of(calibration={"image": np.zeros((4, 2))}, holdout={"image": np.zeros((4, 2))})

    with pytest.raises(PackingError, match="calibration/image: expected shape"):
        packed(the_winner(a_search(full_int8=True)), dataset=other)


def test_the_agent_serves_what_was_packed() -> None:
    from edge_agent.inference.served_model import ServedModel

    served = ServedModel.open(an_int8_artifact())

    result = served.golden_check()
    served.close()

    assert (result.rows, result.disagreements) == (16, 0)
    assert result.max_difference <= an_int8_artifact().manifest.golden.tolerance


def test_rows_that_are_read_from_a_file_give_the_same_artifact(tmp_path: Path) -> None:
    data = an_image_dataset()
    assert data.label is not None
    arrays = {
        "calibration/image": data.calibration["image"],
        "holdout/image": data.holdout["image"],
        "holdout/label": data.label,
        "labels": np.array(data.labels),
    }
    np.savez_compressed(tmp_path / "d.npz", allow_pickle=False, **arrays)
    winner = the_winner(a_search(full_int8=True))

    content = packed(winner, dataset=Dataset.load(tmp_path / "d.npz"))

    assert content == packed(winner, dataset=data)
