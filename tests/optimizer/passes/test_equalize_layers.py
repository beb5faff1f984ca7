"""Equalizing changes no answer and makes the ranges of channels one."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes import EqualizeLayers, QuantizeStatic
from tests.optimizer.builders import a_profile
from tests.optimizer.formats.onnx_graphs import graph, node, weights
from tests.optimizer.passes.nets import IMAGE, chain_net, uneven
from tests.optimizer.passes.seeing import model_of, observed, proto_of, relative_error

_NOTHING = Observations()


def _pair(between: str) -> Model:
    """Return two convolutions of uneven channels with one operator in between."""
    return model_of(
        graph(
            node("Conv", "x w1 b1", "c1"),
            node(between, "c1", "r"),
            node("Conv", "r w2", "y"),
            inputs=IMAGE,
            constants={
                "w1": uneven(weights(16, 3, 3, 3, seed=1), axis=0, decades=2),
                "b1": weights(16, seed=2) * 0.1,
                "w2": weights(8, 16, 1, 1, seed=3),
            },
        )
    )


def _spread(model: Model, layer: str) -> float:
    """Return the largest over the smallest range among the output channels of a layer's weights."""
    proto = proto_of(model)
    name = next(item.input[1] for item in proto.graph.node if layer in item.output)
    values = next(numpy_helper.to_array(item) for item in proto.graph.initializer if item.name == name)
    peaks = np.abs(values).reshape(len(values), -1).max(axis=1)
    return float(peaks.max() / peaks.min())


@pytest.mark.parametrize("between", ["Relu", "LeakyRelu", "Identity", "GlobalAveragePool"])
def test_equalizing_keeps_every_answer(between: str) -> None:
    net = _pair(between)

    equal = EqualizeLayers().run(net, _NOTHING)

    assert relative_error(equal, net) < 1e-5
    assert _spread(equal, "c1") < 0.1 * _spread(net, "c1")


def test_a_chain_with_a_depthwise_layer_is_equalized_as_a_whole() -> None:
    net = chain_net(decades=2)

    equal = EqualizeLayers().run(net, _NOTHING)

    assert relative_error(equal, net) < 1e-5
    assert _spread(equal, "c1") < 0.2 * _spread(net, "c1")


@pytest.mark.slow
def test_equalizing_lets_one_scale_for_all_channels_hold_the_answers() -> None:
    net = chain_net(decades=2)
    equal = EqualizeLayers().run(net, _NOTHING)
    step = QuantizeStatic(per_channel=False)

    before, after = (relative_error(step.run(model, observed(model)), net) for model in (net, equal))

    assert after < 0.5 * before


@pytest.mark.parametrize("between", ["Sigmoid", "Tanh", "HardSwish"])
def test_an_operator_that_a_factor_does_not_pass_parts_the_layers(between: str) -> None:
    with pytest.raises(PassFailed, match="no two layers"):
        EqualizeLayers().run(_pair(between), _NOTHING)


def test_a_clip_at_six_parts_the_layers() -> None:
    net = model_of(
        graph(
            node("Conv", "x w1", "c1"),
            node("Clip", "c1 zero six", "r"),
            node("Conv", "r w2", "y"),
            inputs=IMAGE,
            constants={
                "w1": uneven(weights(16, 3, 3, 3), axis=0),
                "w2": weights(8, 16, 1, 1),
                "zero": np.array(0, np.float32),
                "six": np.array(6, np.float32),
            },
        )
    )

    with pytest.raises(PassFailed, match="leave this pass out"):
        EqualizeLayers().run(net, _NOTHING)


def test_a_model_that_is_equal_already_is_refused() -> None:
    equal = EqualizeLayers(rounds=60).run(_pair("Relu"), _NOTHING)

    with pytest.raises(PassFailed, match="leave this pass out"):
        EqualizeLayers().run(equal, _NOTHING)


def test_channels_that_are_dead_stay_as_they_are() -> None:
    dead = uneven(weights(16, 3, 3, 3, seed=1), axis=0)
    dead[3] = 0
    net = model_of(
        graph(
            node("Conv", "x w1", "c1"),
            node("Relu", "c1", "r"),
            node("Conv", "r w2", "y"),
            inputs=IMAGE,
            constants={"w1": dead, "w2": weights(8, 16, 1, 1)},
        )
    )

    assert relative_error(EqualizeLayers().run(net, _NOTHING), net) < 1e-5


def test_no_round_is_objected_to() -> None:
    assert list(EqualizeLayers(rounds=0).objections(chain_net().spec, a_profile())) == [
        "rounds=0: equalizing takes at least 1"
    ]
