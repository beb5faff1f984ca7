"""The agent answers behind the artifact's steps, and tells how it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.artifact import Artifact, read_artifact
from contracts.manifest import ModelFormat
from contracts.postprocessing import AnswerStep, AnswerStepKind, answered_spec
from contracts.tensors import ElementType
from edge_agent.errors import InferenceFailed, ModelRefused
from edge_agent.inference.served_model import ServedModel
from tests.builders import INPUT, OUTPUT
from tests.contracts.artifact.artifacts import GOLDEN, IS_SURE, PER_CENT, TINY, TOP, a_whole_artifact
from tests.edge_agent.inference.artifacts import an_echo_artifact
from tests.edge_agent.inference.running_server import RunningServer, running_server

ROWS = TINY.rows(5, seed=3)
CHANCE = TINY.answers(ROWS)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """Give a server."""
    with running_server() as running:
        yield running


def served(steps: tuple[AnswerStep, ...], file_format: ModelFormat = ModelFormat.ONNX) -> ServedModel:
    """Return a tiny model behind the steps, open."""
    return ServedModel.open(a_whole_artifact(file_format, steps=steps))


@pytest.mark.parametrize("file_format", list(ModelFormat))
def test_answers_are_given_behind_the_steps(file_format: ModelFormat) -> None:
    per_cent, sure, top = (
        served(steps, file_format).infer({INPUT: ROWS})[OUTPUT] for steps in (PER_CENT, IS_SURE, TOP)
    )

    np.testing.assert_allclose(per_cent.astype(np.float64), 100 * CHANCE, atol=1e-3)
    np.testing.assert_array_equal(sure, CHANCE >= 0.5)
    np.testing.assert_array_equal(top, CHANCE.argmax(axis=1))


@pytest.mark.parametrize("steps", [PER_CENT, IS_SURE, TOP], ids=["per cent", "sure", "top"])
def test_recorded_answers_are_reproduced_behind_the_steps(steps: tuple[AnswerStep, ...]) -> None:
    result = served(steps).golden_check()

    assert (result.rows, result.disagreements) == (8, 0)
    assert result.max_difference < 1e-4


def test_another_choice_than_the_recorded_one_is_a_disagreement() -> None:
    whole = a_whole_artifact(steps=TOP)
    wrong = np.full(8, 9, dtype="<i8").tobytes()

    result = ServedModel.open(
        Artifact(manifest=whole.manifest, members={**whole.members, "golden/output/0": wrong})
    ).golden_check()

    assert (result.disagreements, result.max_difference) == (8, 0.0)


def test_drift_is_watched_by_the_chances_though_the_client_gets_the_choice() -> None:
    answer = served(TOP).answer({INPUT: ROWS})

    assert answer.served[OUTPUT].shape == (5,)
    np.testing.assert_allclose(answer.watched[OUTPUT].astype(np.float64), CHANCE, atol=1e-5)


def test_a_manifest_that_says_another_output_than_its_steps_make_is_refused() -> None:
    whole = a_whole_artifact(steps=TOP)
    claimed = replace(whole.manifest.outputs[0], element=ElementType.FP32)
    members = {**whole.members, "golden/output/0": np.zeros(8, dtype="<f4").tobytes()}

    with pytest.raises(ModelRefused, match="output 'probability' is int64, its manifest says FP32"):
        ServedModel.open(Artifact(manifest=replace(whole.manifest, outputs=(claimed,)), members=members))


def test_a_step_that_does_not_fit_its_output_is_refused_before_it_serves() -> None:
    steps = (AnswerStep(kind=AnswerStepKind.SCALE, tensor=OUTPUT, factor=(1.0, 2.0)),)
    whole = a_whole_artifact()

    with pytest.raises(ModelRefused, match="give one per channel"):
        ServedModel.open(Artifact(manifest=replace(whole.manifest, postprocessing=steps), members=whole.members))


def test_no_step_hides_that_the_model_gave_no_number() -> None:
    step = AnswerStep(kind=AnswerStepKind.THRESHOLD, tensor="y")
    echo = an_echo_artifact(ElementType.FP32, operator="Log")
    spec = answered_spec((step,), echo.manifest.outputs[0])
    manifest = replace(echo.manifest, postprocessing=(step,), outputs=(spec,))
    model = ServedModel.open(Artifact(manifest=manifest, members={**echo.members, "golden/output/0": bytes(3)}))

    with pytest.raises(InferenceFailed, match="gave NaN or an infinity in output 'y'"):
        model.infer({"x": np.zeros((1, 3), dtype=np.float32)})


@pytest.mark.parametrize("name", ["artifact-1-onnx", "artifact-1-tflite", "artifact-2-onnx", "artifact-2-tflite"])
def test_the_example_that_the_agent_tells_is_answered_as_it_says(server: RunningServer, name: str) -> None:
    server.models.put(ServedModel.open(read_artifact((GOLDEN / f"{name}.artifact").read_bytes())))

    told: Any = server.client().get("/v2/models/digits").json
    example = told["parameters"]["example"]
    answer: Any = server.client().post("/v2/models/digits/infer", json.dumps(example["request"]).encode()).json

    assert (answer["model_name"], answer["model_version"]) == ("digits", "1.0.0")
    assert [(one["datatype"], one["shape"]) for one in answer["outputs"]] == [
        (one["datatype"], one["shape"]) for one in example["response"]["outputs"]
    ]
    assert answer["outputs"][0]["data"] == pytest.approx(example["response"]["outputs"][0]["data"], rel=1e-4)
