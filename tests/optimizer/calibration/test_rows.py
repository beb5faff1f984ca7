"""Calibration rows: what a pass gets to see."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contracts.preprocessing import Step, StepKind
from contracts.tensors import ElementType, Quantization, TensorSpec
from optimizer.calibration.rows import CalibrationSet
from optimizer.data.rows import ArrayRows
from optimizer.errors import DatasetError
from optimizer.model import Model
from tests.optimizer.builders import an_onnx_mlp, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_IMAGE = TensorSpec(name="image", element=ElementType.FP32, shape=(-1, 2, 3, 4))
_WIDE = TensorSpec(name="row", element=ElementType.FP32, shape=(-1, 70_000))


class Reading(ArrayRows):
    """Rows that note which were read."""

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        super().__init__(arrays)
        self.read: list[int] = []

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return the rows, and note their places."""
        self.read += places.tolist()
        return super().take(places)


def _a_model_that_takes(spec: TensorSpec, *, adapter: tuple[Step, ...] = ()) -> Model:
    model = an_onnx_mlp()
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, inputs=(spec,)), adapter=adapter)


def test_rows_are_spread_evenly_from_first_to_last() -> None:
    calibration = CalibrationSet.of({"row": np.arange(101, dtype=np.float32)[:, None] * np.ones(12, np.float32)})

    seen = calibration.take(an_onnx_mlp(), an_onnx_mlp().inputs, 5)

    assert seen["row"][:, 0].tolist() == [0, 25, 50, 75, 100]


def test_fewer_rows_than_wanted_are_all_given() -> None:
    calibration = CalibrationSet.of({"row": rows((12,), count=3)})

    assert calibration.take(an_onnx_mlp(), an_onnx_mlp().inputs, 128)["row"].shape == (3, 12)


def test_a_pass_sees_rows_after_preprocessing_and_adapter_under_the_files_own_name() -> None:
    own = TensorSpec(name="serving_x", element=ElementType.FP32, shape=(1, 3, 4, 2))
    model = _a_model_that_takes(own, adapter=(Step(kind=StepKind.CHANNEL_LAST, tensor="image"),))
    scale = Step(kind=StepKind.SCALE, tensor="image", factor=(2.0,), offset=(1.0,))
    raw = rows((2, 3, 4), count=6)

    seen = CalibrationSet.of({"image": raw}, preprocessing=(scale,)).take(model, (_IMAGE,), 6)

    np.testing.assert_allclose(seen["serving_x"].astype(np.float32), raw.transpose(0, 2, 3, 1) * 2 + 1, rtol=1e-6)


def test_rows_for_a_quantized_tensor_stay_real() -> None:
    own = TensorSpec(
        name="image",
        element=ElementType.INT8,
        shape=(1, 2, 3, 4),
        quantization=Quantization(scale=0.1, zero_point=0),
    )

    seen = CalibrationSet.of({"image": rows((2, 3, 4))}).take(_a_model_that_takes(own), (_IMAGE,), 4)

    assert seen["image"].dtype == np.float32


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
        CalibrationSet.of({"image": rows((2, 3, 4))}, preprocessing=(step,)).take(
            _a_model_that_takes(_IMAGE), (_IMAGE,), 4
        )


def test_batches_are_the_same_rows_in_the_same_order_behind_the_same_steps() -> None:
    scale = Step(kind=StepKind.SCALE, tensor="row", factor=(0.5,))
    calibration = CalibrationSet.of({"row": rows((70_000,), count=40)}, preprocessing=(scale,))
    model = _a_model_that_takes(_WIDE)

    batches = [batch["row"] for batch in calibration.batches(model, (_WIDE,), 33)]

    assert [len(batch) for batch in batches] == [14, 14, 5]
    assert np.array_equal(np.concatenate(batches), calibration.take(model, (_WIDE,), 33)["row"])


def test_batches_end_at_the_same_rows_whatever_was_skipped() -> None:
    calibration = CalibrationSet.of({"row": rows((70_000,), count=40)})

    skipped = calibration.batches(_a_model_that_takes(_WIDE), (_WIDE,), 40, skip=20)

    assert [len(batch["row"]) for batch in skipped] == [8, 12]


def test_batches_are_multiples_of_the_models_own() -> None:
    own = dataclasses.replace(_WIDE, shape=(4, 70_000))
    calibration = CalibrationSet.of({"row": rows((70_000,), count=40)})

    batches = calibration.batches(_a_model_that_takes(own), (_WIDE,), 30)

    assert [len(batch["row"]) for batch in batches] == [12, 12, 6]


def test_only_the_rows_that_are_used_are_read() -> None:
    reading = Reading({"row": rows((12,), count=1000)})

    CalibrationSet.of(reading).take(an_onnx_mlp(), an_onnx_mlp().inputs, 3)

    assert reading.read == [0, 500, 999]


def test_no_row_is_read_before_one_is_asked_for() -> None:
    reading = Reading({"row": rows((12,))})

    CalibrationSet.of(reading).take(an_onnx_mlp(), an_onnx_mlp().inputs, 0)

    assert reading.read == []
