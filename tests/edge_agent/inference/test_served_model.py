"""An artifact that answers: preprocessing, quantization, golden answers, and what is refused at opening."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.artifact import MODEL_MEMBER, Artifact, read_artifact
from contracts.manifest import ArtifactManifest, ModelFormat
from contracts.tensors import ElementType, Quantization, TensorSpec
from edge_agent.errors import InferenceFailed, ModelRefused
from edge_agent.inference.served_model import ServedModel
from tests.builders import INPUT, OUTPUT, TinyModel, a_tiny_onnx_artifact, a_tiny_tflite_artifact
from tests.edge_agent.inference.artifacts import a_quantized_image_artifact, a_served_model, an_echo_artifact

ONNX = read_artifact(a_tiny_onnx_artifact())
TFLITE = read_artifact(a_tiny_tflite_artifact())


def changed(**fields: object) -> Artifact:
    """Return the tiny ONNX artifact with some fields of its manifest changed."""
    return replace(ONNX, manifest=replace(ONNX.manifest, **fields))  # type: ignore[arg-type]  # any field of it


def spec(name: str, *shape: int, element: ElementType = ElementType.FP32) -> TensorSpec:
    """Return a tensor's spec."""
    return TensorSpec(name=name, element=element, shape=shape)


def with_golden(manifest: ArtifactManifest, members: dict[str, bytes]) -> Artifact:
    """Return the tiny ONNX artifact with other recorded tensors."""
    return Artifact(manifest=manifest, members={**ONNX.members, **members})


@pytest.mark.parametrize("artifact", [ONNX, TFLITE], ids=["onnx", "tflite"])
def test_it_answers_as_the_model_does_for_any_batch(artifact: Artifact) -> None:
    served = ServedModel.open(artifact)
    rows = TinyModel().rows(5)

    answers = served.infer({INPUT: rows})

    assert served.release == "digits@1.0.0"
    np.testing.assert_allclose(answers[OUTPUT].astype(np.float64), TinyModel().answers(rows), atol=1e-5)


@pytest.mark.parametrize("artifact", [ONNX, TFLITE], ids=["onnx", "tflite"])
def test_it_reproduces_its_golden_answers(artifact: Artifact) -> None:
    result = ServedModel.open(artifact).golden_check()

    assert result.rows == len(result.latencies_ms) == artifact.manifest.golden.rows
    assert result.max_difference < 1e-5
    assert result.disagreements == 0
    assert min(result.latencies_ms) > 0


def test_golden_answers_of_another_model_differ() -> None:
    other = read_artifact(a_tiny_onnx_artifact(TinyModel(seed=99)))
    mixed = Artifact(manifest=ONNX.manifest, members={**ONNX.members, MODEL_MEMBER: other.model})

    result = ServedModel.open(mixed).golden_check()

    assert result.max_difference > 0.1
    assert result.disagreements > 0


def test_a_golden_answer_that_is_no_number_never_passes() -> None:
    nan = np.full((8, 3), np.nan, dtype=np.float32).tobytes()
    artifact = with_golden(ONNX.manifest, {"golden/output/0": nan})

    assert ServedModel.open(artifact).golden_check().max_difference == np.inf


def test_preprocessing_and_quantization_surround_the_file() -> None:
    served = ServedModel.open(a_quantized_image_artifact())
    image = np.arange(18, dtype=np.float32).reshape(1, 2, 3, 3)

    answer = served.infer({"image": image})["same"]

    assert answer.dtype == np.float32
    np.testing.assert_array_equal(answer[0, :, :, 0], image[0, 0] * 2)
    np.testing.assert_array_equal(answer[0, :, :, 1], np.minimum(image[0, 1] * 4, 62.0))
    assert served.golden_check().max_difference == 0.0


@pytest.mark.parametrize("element", [ElementType.INT64, ElementType.UINT8, ElementType.BOOL, ElementType.FP16])
def test_an_answer_has_the_type_that_the_manifest_states(element: ElementType) -> None:
    served = ServedModel.open(an_echo_artifact(element))
    rows = np.array([[1, 0, 1]]).astype({"FP16": "f2", "BOOL": "?", "INT64": "i8", "UINT8": "u1"}[element])

    answer = served.infer({"x": rows})["y"]

    assert answer.dtype == rows.dtype
    np.testing.assert_array_equal(answer, rows)


def test_an_answer_that_is_no_number_is_a_failure_and_not_an_answer() -> None:
    served = ServedModel.open(an_echo_artifact(ElementType.FP32, operator="Sqrt"))

    with pytest.raises(InferenceFailed, match=r"echo@1.0.0 gave NaN or an infinity in output 'y'"):
        served.infer({"x": np.array([[4.0, -1.0, 9.0]], dtype=np.float32)})


def test_a_model_that_fails_on_its_own_recorded_input_is_refused() -> None:
    with pytest.raises(ModelRefused, match="can't answer its own recorded input"):
        ServedModel.open(an_echo_artifact(ElementType.FP32, operator="Sqrt", golden=-1.0))


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        (changed(model_inputs=(spec("other", -1, 8),)), r"inputs are \['x'\], its manifest says \['other'\]"),
        (changed(model_inputs=(spec(INPUT, -1, 9),)), r"'x' of the model file is FP32 \[-1, 8\].*says FP32 \[-1, 9\]"),
        (changed(model_inputs=(spec(INPUT, -1, 8, element=ElementType.INT8),)), "FP32 .*says INT8"),
        (changed(model_outputs=(spec(OUTPUT, -1, 4),)), "output 'probability' of the model file"),
        (changed(outputs=(spec(OUTPUT, -1, 3), spec("more", -1, 1))), "does not pair"),
        (changed(inputs=()), "needs an input"),
        (changed(outputs=(spec(OUTPUT),)), "without a batch"),
        (changed(inputs=(spec(INPUT, -1, 7),)), "recorded input 'x' does not hold 8 rows"),
        (changed(format=ModelFormat.TFLITE), "can't load the model file"),
        (replace(TFLITE, manifest=replace(TFLITE.manifest, format=ModelFormat.ONNX)), "can't load the model file"),
        (with_golden(ONNX.manifest, {"golden/output/0": b"short"}), "recorded output 'probability'"),
    ],
    ids=["name", "shape", "type", "output", "pairs", "none", "scalar", "golden", "format", "format2", "recorded"],
)
def test_an_artifact_that_is_not_what_its_manifest_says_is_refused(artifact: Artifact, words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        ServedModel.open(artifact)


def test_a_quantization_other_than_the_files_is_refused() -> None:
    quantized = replace(TFLITE.manifest.model_inputs[0], quantization=Quantization(scale=0.1, zero_point=0))
    artifact = replace(TFLITE, manifest=replace(TFLITE.manifest, model_inputs=(quantized,)))

    with pytest.raises(ModelRefused, match=r"x 0\.1 at 0"):
        ServedModel.open(artifact)


def test_a_sketch_plan_that_would_fail_on_every_request_is_refused() -> None:
    plan = ONNX.manifest.sketch_plan
    far = replace(plan, features=(replace(plan.features[-1], index=8),))
    classes = replace(plan, output=replace(plan.output, class_counts=(1, 2)))

    with pytest.raises(ModelRefused, match=r"feature 'x\.3' of the sketch plan"):
        ServedModel.open(changed(sketch_plan=far))
    with pytest.raises(ModelRefused, match="counts 2 classes"):
        ServedModel.open(changed(sketch_plan=classes))


def test_closing_twice_is_harmless() -> None:
    served = a_served_model()

    served.close()
    served.close()

    with pytest.raises(InferenceFailed, match="closed"):
        served.infer({INPUT: TinyModel().rows(1)})
