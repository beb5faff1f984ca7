"""Whole networks of convolutions become few operators, move nothing that they need not, and answer as the original."""

from __future__ import annotations

import pytest

from tests.optimizer.formats.onnx_graphs import emitted, operators
from tests.optimizer.formats.tflite_emitter.convolutional_networks import exported

WANTED: dict[str, dict[str, int]] = {
    "detector": {"PAD": 3, "CONV_2D": 7, "RESHAPE": 4, "CONCATENATION": 2, "SOFTMAX": 1},
    "efficient": {
        "PAD": 1,
        "CONV_2D": 5,
        "DEPTHWISE_CONV_2D": 1,
        "LOGISTIC": 3,
        "MUL": 3,
        "MEAN": 2,
        "ADD": 1,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
    },
    "mobile": {
        "PAD": 1,
        "CONV_2D": 5,
        "DEPTHWISE_CONV_2D": 1,
        "HARD_SWISH": 2,
        "LOGISTIC": 1,
        "MUL": 1,
        "MEAN": 2,
        "ADD": 1,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
    },
    "pyramid": {
        "PAD": 2,
        "CONV_2D": 3,
        "LOGISTIC": 3,
        "MUL": 2,
        "RESIZE_NEAREST_NEIGHBOR": 1,
        "CONCATENATION": 1,
        "RESHAPE": 1,
    },
    "shuffle": {
        "PAD": 1,
        "CONV_2D": 5,
        "DEPTHWISE_CONV_2D": 2,
        "SPLIT": 2,
        "CONCATENATION": 2,
        "RESHAPE": 5,
        "TRANSPOSE": 2,
        "MEAN": 1,
        "FULLY_CONNECTED": 1,
    },
    "super resolution": {"CONV_2D": 3, "TANH": 2, "DEPTH_TO_SPACE": 1, "RESHAPE": 1},
    "temporal": {"RESHAPE": 1, "PAD": 3, "CONV_2D": 4, "ADD": 3, "STRIDED_SLICE": 1, "FULLY_CONNECTED": 1},
    "u-net": {"CONV_2D": 8, "MAX_POOL_2D": 2, "DEPTH_TO_SPACE": 2, "CONCATENATION": 2, "TRANSPOSE": 1},
    "wave": {
        "RESHAPE": 1,
        "PAD": 3,
        "CONV_2D": 4,
        "SPLIT": 3,
        "TANH": 3,
        "LOGISTIC": 3,
        "MUL": 3,
        "ADD": 3,
        "STRIDED_SLICE": 1,
        "FULLY_CONNECTED": 1,
    },
}
"""TRANSPOSE where channels really move: shuffled ones, and a map that goes out as ONNX has it."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Constant folding")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch says so of its own quicker exporter
@pytest.mark.parametrize("name", WANTED)
def test_a_network_becomes_these_operators_for_any_batch(name: str) -> None:
    content = exported(name)

    result = emitted(content)

    assert operators(result) == WANTED[name]
    assert result.fixed_batch == ""
    assert result.channel_last == {"x"}
