"""Planning: every objection at once, and no work."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.ids import digest_of
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import PlanError
from optimizer.model import Format, Model, ModelSpec
from optimizer.passes import ExportOnnx, ExportTflite, QuantizeDynamic, QuantizeStatic, QuantizeTflite, SimplifyOnnx
from optimizer.pipeline import Pipeline
from tests.optimizer.builders import a_profile, an_onnx_mlp, rows
from tests.optimizer.fake_passes import Calibrate, Object, Reseed


def _objections(pipeline: Pipeline, model: Model, calibration: CalibrationSet | None = None) -> tuple[str, ...]:
    with pytest.raises(PlanError) as caught:
        pipeline.plan(model, a_profile(), calibration=calibration)
    return caught.value.objections


def test_all_objections_come_at_once_and_before_any_work() -> None:
    Reseed.worked.clear()
    pipeline = Pipeline(Reseed(), ExportOnnx(), QuantizeStatic(rows=0), Object())

    found = _objections(pipeline, an_onnx_mlp())

    code = "give the PyTorch code or the weights that it was exported from"
    assert found == (
        f"export-onnx: takes torch, but gets onnx here; {code} (all passes: edgeship recipe passes)",
        "quantize-static: rows=0: calibration needs at least 1 row",
        "object: needs no_such_library, which is not installed: pip install 'edgeship[optimizer]'",
        "object: takes tflite, but gets onnx here; put export-tflite before it (all passes: edgeship recipe passes)",
        'calibration: the pipeline calibrates and no data are given; add data = "FILE.npz" to the recipe',
    )
    assert Reseed.worked == []


def test_calibration_rows_of_the_wrong_shape_are_an_objection_with_both_shapes() -> None:
    found = _objections(Pipeline(Calibrate()), an_onnx_mlp(), CalibrationSet.of({"row": rows((13,))}))

    assert found == ("calibration/row: expected shape (n, 12), got (64, 13)",)


def test_quantizing_twice_is_an_objection() -> None:
    found = _objections(
        Pipeline(QuantizeDynamic(), QuantizeStatic()), an_onnx_mlp(), CalibrationSet.of({"row": rows((12,))})
    )

    assert found == ("quantize-static: mlp is quantized already; quantize the float model",)


def test_dynamic_int8_on_convolutions_is_an_objection_with_the_reason() -> None:
    model = _with_operators(an_onnx_mlp(), "Conv", "Relu", "Gemm")

    (found,) = _objections(Pipeline(QuantizeDynamic()), model)

    assert "run 3 to 100 times slower than float" in found


def test_a_model_with_nothing_to_quantize_is_an_objection() -> None:
    found = _objections(
        Pipeline(QuantizeStatic()),
        _with_operators(an_onnx_mlp(), "GRU", "Tanh"),
        CalibrationSet.of({"row": rows((12,))}),
    )

    assert found == ("quantize-static: mlp has nothing to quantize: GRU stays float in ONNX Runtime",)


def test_shape_arithmetic_that_simplifying_may_remove_is_no_objection_yet() -> None:
    model = _with_operators(an_onnx_mlp(), "Shape", "Gather", "Gemm", "Relu")

    found = list(Pipeline(SimplifyOnnx(), ExportTflite()).objections(model, a_profile()))

    assert found == []


def test_a_plan_spells_steps_formats_and_rows() -> None:
    calibration = CalibrationSet.of({"row": rows((12,), count=40)})

    plan = Pipeline(SimplifyOnnx(), ExportTflite(), QuantizeTflite()).plan(
        an_onnx_mlp(), a_profile(), calibration=calibration
    )

    assert str(plan).splitlines()[1:] == [
        "  simplify-onnx()  onnx -> onnx",
        "  export-tflite()  onnx -> tflite",
        "  quantize-tflite()  tflite -> tflite  40 calibration rows",
    ]


@pytest.mark.slow
def test_planning_imports_no_framework() -> None:
    script = (
        "import sys\n"
        "from tests.optimizer.test_pipeline import plan_for_a_torch_program\n"
        "plan_for_a_torch_program()\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'onnxsim', 'ai_edge_litert'} & set(sys.modules)))\n"
    )

    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert told.stdout.strip() == "[]"


def plan_for_a_torch_program() -> None:
    """Plan a whole pipeline for a program that is made by hand: nothing is read or run."""
    tensors = an_onnx_like_spec()
    model = Model(spec=tensors, content=b"program", digest=digest_of(b"program"))
    steps = (ExportOnnx(), SimplifyOnnx(), ExportTflite(), QuantizeTflite())
    calibration = CalibrationSet.of({spec.name: rows(spec.shape[1:]) for spec in tensors.inputs})
    Pipeline(*steps).plan(model, a_profile(), calibration=calibration)


def an_onnx_like_spec() -> ModelSpec:
    """Return the spec of a torch program with one input and one output."""
    from contracts.tensors import ElementType, TensorSpec

    one = TensorSpec(name="row", element=ElementType.FP32, shape=(-1, 12))
    return ModelSpec(format=Format.TORCH, name="program", inputs=(one,), outputs=(one,))


def _with_operators(model: Model, *operators: str) -> Model:
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, operators=frozenset(operators)))


def test_weights_that_are_no_numbers_are_objected_to_before_quantizing() -> None:
    model = an_onnx_mlp()
    broken = dataclasses.replace(model, spec=dataclasses.replace(model.spec, not_finite=("w1",)))

    found = list(Pipeline(QuantizeDynamic()).objections(broken, a_profile()))

    assert found == ["quantize-dynamic: 'w1' of mlp holds NaN or infinite values; train or export the model again"]
