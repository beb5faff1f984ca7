"""Calibration rows: what a pass gets to see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.preprocessing import Step, StepKind
from contracts.tensors import ElementType, Quantization, TensorSpec
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import DatasetError
from optimizer.model import Model
from optimizer.pass_ import Wants
from tests.optimizer.builders import an_onnx_mlp, rows

_IMAGE = TensorSpec(name="image", element=ElementType.FP32, shape=(-1, 2, 3, 4))


def _a_model_that_takes(spec: TensorSpec, *, adapter: tuple[Step, ...] = ()) -> Model:
    model = an_onnx_mlp()
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, inputs=(spec,)), adapter=adapter)


def test_rows_are_spread_evenly_from_first_to_last() -> None:
    calibration = CalibrationSet.of({"row": np.arange(101, dtype=np.float32)[:, None] * np.ones(12, np.float32)})

    seen = calibration.observations(an_onnx_mlp(), an_onnx_mlp().inputs, Wants(rows=5))

    assert seen.rows["row"][:, 0].tolist() == [0, 25, 50, 75, 100]


def test_fewer_rows_than_wanted_are_all_given() -> None:
    calibration = CalibrationSet.of({"row": rows((12,), count=3)})

    assert calibration.observations(an_onnx_mlp(), an_onnx_mlp().inputs, Wants(rows=128)).count == 3


def test_a_pass_sees_rows_after_preprocessing_and_adapter_under_the_files_own_name() -> None:
    own = TensorSpec(name="serving_x", element=ElementType.FP32, shape=(1, 3, 4, 2))
    model = _a_model_that_takes(own, adapter=(Step(kind=StepKind.CHANNEL_LAST, tensor="image"),))
    scale = Step(kind=StepKind.SCALE, tensor="image", factor=(2.0,), offset=(1.0,))
    raw = rows((2, 3, 4), count=6)

    seen = CalibrationSet.of({"image": raw}, preprocessing=(scale,)).observations(model, (_IMAGE,), Wants(rows=6))

    np.testing.assert_allclose(seen.rows["serving_x"].astype(np.float32), raw.transpose(0, 2, 3, 1) * 2 + 1, rtol=1e-6)


def test_rows_for_a_quantized_tensor_stay_real() -> None:
    own = TensorSpec(
        name="image",
        element=ElementType.INT8,
        shape=(1, 2, 3, 4),
        quantization=Quantization(scale=0.1, zero_point=0),
    )

    seen = CalibrationSet.of({"image": rows((2, 3, 4))}).observations(
        _a_model_that_takes(own), (_IMAGE,), Wants(rows=4)
    )

    assert seen.rows["image"].dtype == np.float32


def test_the_fingerprint_covers_the_steps() -> None:
    scale = Step(kind=StepKind.SCALE, tensor="x", factor=(2.0,))

    plain = CalibrationSet.of({"x": rows((3,))})
    scaled = CalibrationSet.of({"x": rows((3,))}, preprocessing=(scale,))

    assert plain.fingerprint != scaled.fingerprint


def test_a_step_for_an_unknown_tensor_is_an_objection() -> None:
    step = Step(kind=StepKind.SCALE, tensor="picture")

    (objection,) = CalibrationSet.of({"image": rows((2, 3, 4))}, preprocessing=(step,)).objections((_IMAGE,))

    assert objection == "preprocessing names 'picture'; the model takes image"


def test_a_step_that_does_not_fit_the_rows_is_one_line() -> None:
    step = Step(kind=StepKind.SCALE, tensor="image", factor=(1.0, 2.0, 3.0))

    with pytest.raises(DatasetError, match="3 factors for shape"):
        CalibrationSet.of({"image": rows((2, 3, 4))}, preprocessing=(step,)).observations(
            _a_model_that_takes(_IMAGE), (_IMAGE,), Wants(rows=4)
        )
