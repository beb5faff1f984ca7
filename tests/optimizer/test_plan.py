"""Running plans through the store, and exploring many of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.preprocessing import Step, StepKind
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import EquivalenceLost, OptimizerError, PassFailed, PlanError
from optimizer.passes import QuantizeStatic, SimplifyOnnx
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure, Product
from optimizer.search.making import Attempt, Maker
from optimizer.store import FolderStore, MemoryStore, Stored, store_key
from tests.optimizer.builders import a_profile, an_onnx_mlp, rows
from tests.optimizer.fake_passes import Calibrate, Fail, Forge, Look, Reseed

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


def test_a_conversion_that_answers_differently_is_refused_naming_where_and_kept_nowhere() -> None:
    store = MemoryStore()
    plan = Pipeline(Forge(seed=5)).plan(an_onnx_mlp(), a_profile(), store=store)

    with pytest.raises(EquivalenceLost, match="'hidden'"):
        plan.run()

    assert store.ledger == ()


def test_calibration_reaches_the_pass() -> None:
    product = Pipeline(Calibrate(rows=8)).plan(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION).run()

    assert product.model == an_onnx_mlp(seed=8)


def test_a_pass_gets_the_statistics_it_wants_and_no_rows_it_does_not() -> None:
    plan = Pipeline(Look(rows=16)).plan(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION)

    assert plan.run().model == an_onnx_mlp(seed=16)
    assert "16 calibration rows" in str(plan)


def test_passes_that_look_at_the_same_rows_of_the_same_model_look_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    maker = Maker(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION, store=store)
    attempts = [Attempt(label=f"{knob}", pipeline=Pipeline(Look(rows=16, knob=knob))) for knob in (1, 2, 3)]

    made = [maker.make(attempt) for attempt in attempts]

    assert [one.label for one in made if isinstance(one, Product)] == ["1", "2", "3"]
    assert [entry.what.split(" of ")[0] for entry in store.ledger] == [
        "statistics", "look(rows=16)", "look(rows=16, knob=2)", "look(rows=16, knob=3)",
    ]  # fmt: skip


def test_progress_says_how_far_the_rows_have_been_looked_at() -> None:
    told: list[tuple[str, float]] = []
    plan = Pipeline(Look(rows=16)).plan(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION)

    plan.run(progress=lambda what, share: told.append((what, share)))

    assert told[-1] == ("mlp: 16 of 16 calibration rows", 1.0)


def test_a_row_that_makes_a_tensor_infinite_fails_the_pass_and_nothing_is_stored() -> None:
    store = MemoryStore()
    huge = CalibrationSet.of({"row": np.full((20, 12), 3e38, np.float32)})
    plan = Pipeline(Look(rows=16)).plan(an_onnx_mlp(), a_profile(), calibration=huge, store=store)

    with pytest.raises(PassFailed, match="mlp: tensor 'hidden' is NaN or infinite on calibration row 0 "):
        plan.run()

    assert store.ledger == ()


def test_each_result_made_is_in_the_ledger_once(tmp_path: Path) -> None:
    plan = Pipeline(Reseed(seed=8), Calibrate()).plan(
        an_onnx_mlp(), a_profile(), calibration=_CALIBRATION, store=FolderStore(tmp_path)
    )
    plan.run()
    plan.run()

    made = [entry.what.rsplit(" ", 1)[0] for entry in FolderStore(tmp_path).ledger]

    assert made == ["reseed(seed=8) of mlp", "calibrate() of mlp"]


def test_a_maker_does_a_shared_step_once() -> None:
    Reseed.worked.clear()
    attempts = [Attempt(label=f"{rows}", pipeline=Pipeline(Reseed(), Calibrate(rows=rows))) for rows in (2, 4, 6)]

    maker = Maker(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION, store=MemoryStore())
    made = [maker.make(attempt) for attempt in attempts]

    assert [one.label for one in made if isinstance(one, Product)] == ["2", "4", "6"]
    assert Reseed.worked == [1]


def test_a_maker_does_not_repeat_a_step_that_failed_and_hides_nothing() -> None:
    Fail.worked.clear()
    attempts = [
        Attempt(label="good", pipeline=Pipeline(Reseed())),
        Attempt(label="bad", pipeline=Pipeline(Reseed(), Fail())),
        Attempt(label="bad too", pipeline=Pipeline(Reseed(), Fail(), Calibrate())),
        Attempt(label="impossible", pipeline=Pipeline(QuantizeStatic(rows=0))),
    ]

    maker = Maker(an_onnx_mlp(), a_profile(), calibration=_CALIBRATION, store=MemoryStore())
    made = [maker.make(attempt) for attempt in attempts]

    assert [one.label for one in made if isinstance(one, Product)] == ["good"]
    assert [(one.label, one.step, one.code) for one in made if isinstance(one, Failure)] == [
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
