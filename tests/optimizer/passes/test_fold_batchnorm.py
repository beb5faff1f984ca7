"""Folding a batch normalization changes no answer, and is refused where it would."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes import FoldBatchnorm
from tests.optimizer.builders import a_profile, an_onnx_mlp
from tests.optimizer.formats.onnx_graphs import Shape, graph, node, weights
from tests.optimizer.passes.seeing import model_of, proto_of, relative_error

_IMAGE: dict[str, Shape] = {"x": (1, 6, 9, 9)}
_NOTHING = Observations()


def _norm(channels: int, prefix: str = "n") -> dict[str, np.typing.NDArray[np.float32]]:
    return {
        f"{prefix}s": weights(channels, seed=21),
        f"{prefix}b": weights(channels, seed=22),
        f"{prefix}m": weights(channels, seed=23),
        f"{prefix}v": np.abs(weights(channels, seed=24)) + np.float32(0.1),
    }


def _behind(layer: object, weight: np.typing.NDArray[np.float32], channels: int, inputs: dict[str, Shape]) -> Model:
    """Return a net of a layer that gives ``c`` and a normalization that gives ``y``."""
    norm = node("BatchNormalization", "c ns nb nm nv", "y", epsilon=1e-3)
    return model_of(
        graph(layer, norm, inputs=inputs, constants={"w": weight, "b": weights(channels, seed=9), **_norm(channels)})
    )


def _before(layer: object, weight: np.typing.NDArray[np.float32], inputs: dict[str, Shape]) -> Model:
    """Return a net of a normalization that gives ``n`` and a layer that gives ``y``."""
    norm = node("BatchNormalization", "x ns nb nm nv", "n")
    return model_of(graph(norm, layer, inputs=inputs, constants={"w": weight, **_norm(6)}))


@pytest.mark.parametrize(
    "net",
    [
        _behind(node("Conv", "x w b", "c", pads=[1, 1, 1, 1]), weights(8, 6, 3, 3), 8, _IMAGE),
        _behind(node("Conv", "x w", "c", group=2, strides=[2, 2]), weights(8, 3, 3, 3), 8, _IMAGE),
        _behind(node("Conv", "x w b", "c", group=6), weights(6, 1, 3, 3), 6, _IMAGE),
        _behind(node("Conv", "x w b", "c"), weights(8, 6, 3), 8, {"x": (1, 6, 9)}),
        _behind(node("ConvTranspose", "x w b", "c", group=2, strides=[2, 2]), weights(6, 4, 3, 3), 8, _IMAGE),
        _behind(node("Gemm", "x w b", "c", transB=1, alpha=0.5, beta=2.0), weights(8, 6), 8, {"x": (1, 6)}),
        _behind(node("Gemm", "x w b", "c"), weights(6, 8), 8, {"x": (1, 6)}),
        _before(node("Conv", "n w", "y"), weights(8, 6, 3, 3), _IMAGE),
        _before(node("Conv", "n w", "y", group=3), weights(6, 2, 3, 3), _IMAGE),
        _before(node("Gemm", "n w", "y"), weights(6, 4), {"x": (1, 6)}),
    ],
    ids=[
        "conv",
        "grouped",
        "depthwise",
        "line",
        "transposed",
        "dense-b",
        "dense",
        "behind",
        "behind-g",
        "behind-dense",
    ],
)
def test_folding_keeps_every_answer_and_leaves_no_normalization(net: Model) -> None:
    folded = FoldBatchnorm().run(net, _NOTHING)

    assert "BatchNormalization" not in folded.spec.operators
    assert relative_error(folded, net) < 1e-5


def test_an_offset_is_not_folded_behind_padding_because_padding_is_zero() -> None:
    net = _before(node("Conv", "n w", "y", pads=[1, 1, 1, 1]), weights(8, 6, 3, 3), _IMAGE)

    with pytest.raises(PassFailed, match="no batch normalization of net stands beside a layer"):
        FoldBatchnorm().run(net, _NOTHING)


def test_a_layer_whose_result_is_read_elsewhere_too_is_left() -> None:
    norm, add = node("BatchNormalization", "c ns nb nm nv", "n"), node("Add", "c n", "y")
    net = model_of(
        graph(node("Conv", "x w", "c"), norm, add, inputs=_IMAGE, constants={"w": weights(6, 6, 1, 1), **_norm(6)})
    )

    with pytest.raises(PassFailed, match="leave this pass out"):
        FoldBatchnorm().run(net, _NOTHING)


def test_weights_that_another_layer_reads_too_are_folded_for_one_alone() -> None:
    net = model_of(
        graph(
            node("Conv", "x w", "c"),
            node("BatchNormalization", "c ns nb nm nv", "n"),
            node("Conv", "n w", "y"),
            inputs=_IMAGE,
            constants={"w": weights(6, 6, 1, 1), **_norm(6)},
        )
    )

    folded = FoldBatchnorm().run(net, _NOTHING)

    assert folded.spec.operators == {"Conv"}
    assert relative_error(folded, net) < 1e-5


def test_a_model_without_normalization_is_objected_to() -> None:
    assert list(FoldBatchnorm().objections(an_onnx_mlp().spec, a_profile())) == [
        "mlp has no BatchNormalization: nothing to fold; leave fold-batchnorm out"
    ]


def test_weights_that_an_old_file_lists_among_its_inputs_go_from_there_too() -> None:
    net = _behind(node("Conv", "x w b", "c"), weights(8, 6, 3, 3), 8, _IMAGE)
    old = proto_of(net)
    old.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [8, 6, 3, 3]))

    folded = FoldBatchnorm().run(model_of(old.SerializeToString()), _NOTHING)

    assert [spec.name for spec in folded.inputs] == ["x"]
