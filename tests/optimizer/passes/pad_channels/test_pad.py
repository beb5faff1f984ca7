"""Channels are padded together or not at all, and only where nothing outside could tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes import PadChannels
from tests.optimizer.builders import a_profile, an_onnx_mlp
from tests.optimizer.formats.onnx_graphs import graph, node, numbers, weights
from tests.optimizer.passes.pad_channels.nets import IMAGE, Net, a_narrow_net, widths
from tests.optimizer.passes.seeing import model_of, proto_of, relative_error

_NOTHING = Observations()


def _pad(net: Model, *, multiple: int = 16, most_ratio: float = 16.0) -> Model:
    return PadChannels(multiple=multiple, most_ratio=most_ratio).run(net, _NOTHING)


def _between(*parts: Any, **constants: Any) -> Model:
    """Return a convolution that gives ``c`` with 6 channels, some operations, and one that reads ``m``."""
    convs = node("Conv", "x w", "c"), node("Conv", "m v", "y")
    given = {"w": weights(6, 3, 1, 1), "v": weights(4, 6, 1, 1, seed=3), **constants}
    return model_of(graph(convs[0], *parts, convs[1], inputs=IMAGE, constants=given))


def test_a_stem_and_its_depthwise_convolution_get_whole_blocks_and_readers_zero_columns() -> None:
    net = a_narrow_net()

    padded = _pad(net)

    assert widths(net) == [(6, 3), (6, 1), (20, 6), (5, 20)]
    assert widths(padded) == [(16, 3), (16, 1), (32, 16), (5, 32)]
    assert relative_error(padded, net) < 1e-6


def test_a_group_is_left_that_would_get_too_many_times_its_channels() -> None:
    assert widths(_pad(a_narrow_net(), most_ratio=2.0)) == [(6, 3), (6, 1), (32, 6), (5, 32)]


def test_channels_of_the_image_and_of_the_answer_are_never_padded() -> None:
    net = Net()
    net.conv(8)
    net.conv(7)

    assert widths(_pad(net.end("image"))) == [(16, 3), (7, 16)]


def test_branches_that_are_added_are_padded_together() -> None:
    net = Net()
    net.conv(6)
    net.write("residual", 0)
    net.conv(16)

    assert widths(_pad(net.end("pooled"))) == [(16, 3), (16, 16), (16, 16), (5, 16)]


@pytest.mark.parametrize(
    "join",
    [node("Add", "c x", "m"), node("Add", "c t", "m"), node("Concat", "c t", "m", axis=2)],
    ids=["image", "turned", "beside"],
)
def test_branches_that_meet_the_image_or_what_is_made_of_it_stay_as_they_are(join: Any) -> None:
    net = model_of(
        graph(
            node("Conv", "x w", "c"),
            node("Transpose", "x", "t", perm=[0, 1, 3, 2]),
            join,
            node("Conv", "m v", "y"),
            inputs=IMAGE,
            constants={"w": weights(3, 3, 1, 1), "v": weights(8, 3, 1, 1)},
        )
    )

    with pytest.raises(PassFailed, match="nothing to pad: net has no channels between convolutions"):
        _pad(net)


def test_behind_a_concat_the_zeros_stand_behind_each_part() -> None:
    net = _between(
        node("Conv", "x u", "d"),
        node("Concat", "d c", "m", axis=1),
        u=weights(5, 3, 1, 1, seed=7),
        v=weights(4, 11, 1, 1),
    )

    padded = _pad(net, multiple=8)

    columns = np.abs(onnx.numpy_helper.to_array(proto_of(padded).graph.initializer[1])).sum(axis=(0, 2, 3)) > 0
    assert columns.tolist() == [True] * 5 + [False] * 3 + [True] * 6 + [False] * 2
    assert relative_error(padded, net) < 1e-6


def test_rows_of_a_dense_layer_are_padded_for_every_place_of_an_image() -> None:
    net = Net()
    net.conv(6)
    model = net.end("flattened")

    padded = _pad(model, multiple=8)

    assert widths(padded) == [(8, 3), (5, 8 * 64)]
    assert relative_error(padded, model) < 1e-6


def test_a_reshape_that_names_the_length_says_flatten_instead() -> None:
    net = Net()
    net.conv(6)
    model = net.end("reshaped")

    padded = _pad(model)

    assert "Reshape" not in padded.spec.operators
    assert relative_error(padded, model) < 1e-6


def test_weights_that_two_layers_read_are_padded_for_each_alone() -> None:
    net = model_of(
        graph(
            node("Conv", "x w", "a"),
            node("Conv", "a v", "b"),
            node("Conv", "b v", "y"),
            inputs=IMAGE,
            constants={"w": weights(6, 3, 1, 1), "v": weights(6, 6, 1, 1)},
        )
    )

    padded = _pad(net)

    assert widths(padded) == [(16, 3), (16, 16), (6, 16)]
    assert relative_error(padded, net) < 1e-6


def test_a_transposed_convolution_and_a_resize_are_followed() -> None:
    net = _between(
        node("ConvTranspose", "c u b", "t", strides=[2, 2]),
        onnx.helper.make_node("Resize", ["t", "", "s"], ["m"]),
        u=weights(6, 6, 2, 2, seed=4),
        b=weights(6, seed=5),
        s=np.array([1, 1, 0.5, 0.5], np.float32),
    )

    padded = _pad(net)

    assert widths(padded) == [(16, 3), (4, 16)]
    assert relative_error(padded, net) < 1e-6


@pytest.mark.parametrize(
    "net",
    [
        _between(node("Softmax", "c", "m", axis=1)),
        _between(node("Transpose", "c", "m", perm=[0, 1, 3, 2])),
        _between(node("Conv", "c u", "m", group=2), u=weights(6, 3, 1, 1)),
        _between(node("Pad", "c p", "m"), p=numbers(0, 1, 0, 0, 0, 1, 0, 0), v=weights(4, 8, 1, 1)),
        _between(node("Div", "k c", "m"), k=np.ones((6, 1, 1), np.float32)),
        _between(node("Reciprocal", "c", "m")),
        _between(node("Shape", "c", "n"), node("Reshape", "c n", "m")),
        _between(node("ReduceMax", "c a", "r"), node("Sub", "c r", "m"), a=numbers(1)),
        _between(node("Conv", "x u", "g"), node("Conv", "c g", "n"), node("Add", "c n", "m"), u=weights(6, 3, 8, 8)),
        _between(node("Concat", "c k", "m", axis=1), k=weights(1, 2, 8, 8), v=weights(4, 8, 1, 1)),
        _between(node("Conv", "c u", "m", group=6), u=weights(12, 1, 1, 1), v=weights(4, 12, 1, 1)),
        _between(node("Mul", "c k", "m"), k=weights(6, 1, 1), w=weights(1, 3, 1, 1)),
        _between(onnx.helper.make_node("MaxPool", ["c"], ["m", "places"], kernel_shape=[2, 2])),
    ],
    ids=[
        *("softmax", "unknown", "grouped", "channels", "divided", "pole", "shape", "sum", "computed", "constant"),
        *("multiplied", "spread", "indices"),
    ],
)
def test_channels_that_something_else_depends_on_are_left(net: Model) -> None:
    with pytest.raises(PassFailed, match="leave this pass out"):
        _pad(net)


def test_channels_that_a_body_reads_are_left() -> None:
    read = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["c"], ["z"])], "body", [], [onnx.ValueInfoProto(name="z")]
    )
    choice = onnx.helper.make_node("If", ["k"], ["q"], then_branch=read, else_branch=read)
    net = _between(node("Relu", "c", "m"), choice, k=np.array(True))

    with pytest.raises(PassFailed, match="leave this pass out"):
        _pad(net)


def test_weights_that_a_body_reads_too_stay_as_they_are_for_it() -> None:
    kernel = onnx.helper.make_tensor_value_info("z", 1, [4, 6, 1, 1])
    read = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["v"], ["z"])], "body", [], [kernel])
    choice = onnx.helper.make_node("If", ["k"], ["q"], then_branch=read, else_branch=read)
    net = proto_of(_between(node("Relu", "c", "m"), choice, k=np.array(True)))
    net.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info("q", 1, [4, 6, 1, 1]))

    padded = _pad(model_of(net.SerializeToString()))

    shapes = {item.name: tuple(item.dims) for item in proto_of(padded).graph.initializer}
    assert shapes["v"] == (4, 6, 1, 1)
    assert widths(padded) == [(16, 3), (4, 16)]


def test_weights_that_an_old_file_lists_among_its_inputs_are_listed_with_their_new_shape() -> None:
    old = proto_of(a_narrow_net())
    listed = [(item.name, list(item.dims)) for item in old.graph.initializer]
    old.graph.input.extend(onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in listed)
    old.ir_version = 3

    padded = proto_of(_pad(model_of(old.SerializeToString())))

    shapes = {item.name: tuple(item.dims) for item in padded.graph.initializer}
    named = {
        item.name: tuple(size.dim_value for size in item.type.tensor_type.shape.dim) for item in padded.graph.input
    }
    assert {name: named[name] for name in shapes} == shapes


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (PadChannels(multiple=1), "multiple=1: every number is a multiple of it; give at least 2"),
        (PadChannels(most_ratio=1.0), "most_ratio=1.0: padding needs more than 1 times the channels"),
    ],
)
def test_parameters_that_pad_nothing_are_objected_to(step: PadChannels, words: str) -> None:
    assert list(step.objections(a_narrow_net().spec, a_profile())) == [words]


def test_a_model_without_convolution_is_objected_to() -> None:
    assert list(PadChannels().objections(an_onnx_mlp().spec, a_profile())) == [
        "mlp has no convolution: nothing to pad; leave pad-channels out"
    ]
