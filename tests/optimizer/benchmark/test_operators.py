"""Where the time goes, layer by layer."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from contracts.manifest import TakenOn
from optimizer.benchmark.operators import OperatorProfile, profile_operators
from optimizer.benchmark.runner import Measurable
from optimizer.errors import MeasureFailed
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import QuantizeStatic
from optimizer.passes.layers import quantizable_layers
from optimizer.passes.save_ort import SaveOrt
from tests.optimizer.benchmark.measurables import ROWS, a_broken_measurable
from tests.optimizer.passes.nets import chain_net, residual_net
from tests.optimizer.passes.seeing import given_rows, observed


def profiled(model: Model, *, named_as: Model | None = None, runs: int = 20) -> OperatorProfile:
    """Return where the model's time goes."""
    measurable = Measurable(label="net", model=model, inputs=model.inputs, outputs=model.outputs)
    return profile_operators(measurable, given_rows(model, count=3), runs=runs, named_as=named_as)


@cache
def in_float() -> OperatorProfile:
    """Return the residual net's profile."""
    return profiled(residual_net())


@pytest.mark.parametrize("net", [chain_net(), residual_net()])
def test_each_layer_has_its_time_in_float_and_in_its_int8_twin(net: Model) -> None:
    twin = QuantizeStatic().run(net, observed(net))
    layers = set(quantizable_layers(net))

    floats, integers = profiled(net), profiled(twin, named_as=net)

    assert layers <= {one.name for one in floats.operators}
    assert layers <= {one.name for one in integers.operators}
    assert "QLinearConv" in {one.operator for one in integers.operators}


def test_what_was_fused_goes_by_its_layer() -> None:
    convolutions = [one.name for one in in_float().operators if "Conv" in one.operator]

    assert convolutions == ["c1", "c2", "c3"]


def test_names_are_of_the_models_own_file() -> None:
    given = {"x", "c1", "r1", "c2", "a", "r2", "m", "c3", "s", "y"}

    assert {one.name for one in in_float().operators} <= given


def test_the_operations_add_up_to_the_wall_time_and_what_was_told_is_kept() -> None:
    profile = in_float()

    assert sum(one.p50_us for one in profile.operators) == pytest.approx(profile.wall_p50_us)
    assert sum(one.told_us for one in profile.operators) == pytest.approx(profile.told_us)
    assert sum(one.share for one in profile.operators) == pytest.approx(1.0)
    assert min(one.told_us for one in profile.operators) > 0


def test_a_profile_says_how_it_was_taken() -> None:
    profile = profiled(chain_net(), runs=7)

    assert (profile.runs, profile.threads, profile.taken_on) == (7, 1, TakenOn.HOST)
    assert "core" in profile.machine
    assert profile.unavailable == ""


def test_where_no_profiler_is_the_reason_is_told() -> None:
    ort = SaveOrt().run(chain_net(), Observations())
    tflite = dataclasses.replace(chain_net(), spec=dataclasses.replace(chain_net().spec, format=Format.TFLITE))

    assert profiled(ort).unavailable.endswith("profile the ONNX file that it was made from")
    assert profiled(tflite).unavailable == "LiteRT's Python interface has no profiler"
    assert (profiled(tflite).operators, profiled(tflite).runs) == ((), 0)


def test_a_model_that_does_not_run_is_named() -> None:
    with pytest.raises(MeasureFailed, match="the broken one: "):
        profile_operators(a_broken_measurable(), ROWS)
