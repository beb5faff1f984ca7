"""Running plans through the store, and exploring many of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.preprocessing import Step, StepKind
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import OptimizerError, PassFailed, PlanError
from optimizer.passes import QuantizeStatic, SimplifyOnnx
from optimizer.pipeline import Pipeline
from optimizer.search.exploration import Attempt, explore
from optimizer.store import FolderStore, MemoryStore, Stored, store_key
from tests.optimizer.builders import a_profile, an_onnx_mlp, rows
from tests.optimizer.fake_passes import Calibrate, Fail, Reseed

_CALIBRATION = CalibrationSet.of({"row": rows((12,), count=20)})


def test_lineage_names_each_step_with_what_came_out() -> None:
    product = Pipeline(Reseed(seed=4), Reseed(seed=5)).plan(an_onnx_mlp(), a_profile()).run()

    assert [step.text for step in product.lineage] == ["reseed(seed=4)", "reseed(seed=5)"]
    assert product.lineage[-1].digest == product.model.digest == an_onnx_mlp(seed=5).digest
    assert product.source == an_onnx_mlp().digest


def test_what_is_served_has_real_values_and_any_batch() -> None:
    product = Pipeline().plan(an_onnx_mlp(), a_profile()).run()

    assert [spec.shape for spec in product.inputs] == [(-1, 12)]
    assert product.model.digest == an_onnx_mlp().digest


def test_a_result_that_the_store_has_is_not_made_again(tmp_path: Path) -> None:
    Reseed.worked.clear()
    store = FolderStore(tmp_path)
    Pipeline(Reseed(seed=6)).plan(an_onnx_mlp(), a_profile(), store=store).run()

    again = Pipeline(Reseed(seed=6)).plan(an_onnx_mlp(), a_profile(), store=FolderStore(tmp_path)).run()

    assert Reseed.worked == [6]
    assert again.lineage[0].from_store
    assert again.model == an_onnx_mlp(seed=6)


def test_another_parameter_or_another_input_is_another_result() -> None:
    first, other = an_onnx_mlp(seed=1), an_onnx_mlp(seed=2)

    keys = {
        store_key(first, Reseed(seed=1), fingerprint="", tools={}),
        store_key(first, Reseed(seed=2), fingerprint="", tools={}),
        store_key(other, Reseed(seed=1), fingerprint="", tools={}),
        store_key(first, Reseed(seed=1), fingerprint="rows", tools={}),
        store_key(first, Reseed(seed=1), fingerprint="", tools={"onnx": "9"}),
    }

    assert len(keys) == 5


def test_a_failure_is_never_stored() -> None:
    Fail.worked.clear()
    store = MemoryStore()
    plan = Pipeline(Fail()).plan(an_onnx_mlp(), a_profile(), store=store)

    with pytest.raises(PassFailed):
        plan.run()
    with pytest.raises(PassFailed):
        plan.run()

    assert len(Fail.worked) == 2


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    Reseed.worked.clear()
    store = FolderStore(tmp_path)
    plan = Pipeline(Reseed(seed=7)).plan(an_onnx_mlp(), a_profile(), store=store)
    plan.run()
    (kept,) = tmp_path.glob("*/*.model")
    kept.write_bytes(kept.read_bytes()[:-1])

    assert plan.run().model == an_onnx_mlp(seed=7)
    assert Reseed.worked == [7, 7]


def test_the_adapter_of_a_result_is_kept(tmp_path: Path) -> None:
    step = Step(kind=StepKind.CHANNEL_LAST, tensor="row")
    model = an_onnx_mlp()
    key = store_key(model, Reseed(), fingerprint="", tools={})
    stored = Stored(format=model.format, content=model.content, digest=model.digest, adapter=(step,), seconds=0.5)

    FolderStore(tmp_path).put(key, stored)

    assert FolderStore(tmp_path).get(key) == stored


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    plan = Pipeline(Reseed()).plan(an_onnx_mlp(), a_profile(), store=FolderStore(tmp_path / "file"))

    with pytest.raises(OptimizerError, match=r"cannot write the store .* give another --store"):
        plan.run()


def test_calibration_reaches_the_pass() -> None:
    product = Pipeline(Calibrate(rows=8)).plan(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION).run()

    assert product.model == an_onnx_mlp(seed=8)


def test_exploring_does_a_shared_step_once() -> None:
    Reseed.worked.clear()
    attempts = [Attempt(label=f"{rows}", pipeline=Pipeline(Reseed(), Calibrate(rows=rows))) for rows in (2, 4, 6)]

    made = explore(an_onnx_mlp(), attempts, a_profile(), calibration=_CALIBRATION)

    assert [product.label for product in made.products] == ["2", "4", "6"]
    assert Reseed.worked == [1]


def test_exploring_does_not_repeat_a_step_that_failed_and_hides_nothing() -> None:
    Fail.worked.clear()
    attempts = [
        Attempt(label="good", pipeline=Pipeline(Reseed())),
        Attempt(label="bad", pipeline=Pipeline(Reseed(), Fail())),
        Attempt(label="bad too", pipeline=Pipeline(Reseed(), Fail(), Calibrate())),
        Attempt(label="impossible", pipeline=Pipeline(QuantizeStatic(rows=0))),
    ]

    made = explore(an_onnx_mlp(), attempts, a_profile(), calibration=_CALIBRATION)

    assert [product.label for product in made.products] == ["good"]
    assert [(failure.label, failure.step, failure.code) for failure in made.failures] == [
        ("bad", "fail", "pass_failed"),
        ("bad too", "fail", "pass_failed"),
        ("impossible", "plan", "plan"),
    ]
    assert Fail.worked == ["mlp"]


@pytest.mark.slow
def test_a_pass_may_still_object_once_the_operators_are_known() -> None:
    quantized = (
        Pipeline(SimplifyOnnx(), QuantizeStatic()).plan(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION).run()
    )
    twice = Pipeline(QuantizeStatic()).plan(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION)

    with pytest.raises(PlanError, match="quantized already"):
        dataclasses.replace(twice, source=quantized.model).run()


@pytest.mark.slow
def test_static_int8_answers_nearly_as_the_float_model() -> None:
    from optimizer.served import serve

    model, given = an_onnx_mlp(), {"row": rows((12,), count=50, seed=9)}
    same_rows = CalibrationSet.of(given)
    product = Pipeline(SimplifyOnnx(), QuantizeStatic()).plan(model, a_profile(), calibration=same_rows).run()

    exact, near = (serve(one, model, ()).infer(given)["scores"] for one in (model, product.model))

    assert 0 < np.abs(exact - near).max() < 0.1 * np.abs(exact).max()
