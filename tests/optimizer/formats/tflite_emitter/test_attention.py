"""Whole networks of attention: which operators they become, how exactly they answer, for any batch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.formats.onnx_format import OnnxSession
from tests.optimizer.formats.onnx_graphs import emitted, operators
from tests.optimizer.formats.tflite_emitter.answers import answers

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter import Emitted

NORM = Counter(MEAN=2, SUB=1, MUL=2, ADD=1, RSQRT=1)
CENTERED_NORM = Counter(MEAN=1, MUL=2, ADD=1, RSQRT=1)
AFFINE = Counter(MUL=1, ADD=1)
HEADS = Counter(FULLY_CONNECTED=1, RESHAPE=1, TRANSPOSE=1, SPLIT=1)
MIX = Counter(BATCH_MATMUL=2, SOFTMAX=1, TRANSPOSE=1, RESHAPE=1, FULLY_CONNECTED=1)
FEED = Counter(FULLY_CONNECTED=2, GELU=1)
SUM = Counter(ADD=1)


def times(count: int, *parts: Counter[str]) -> Counter[str]:
    """Return the operators of those parts, that often."""
    total = sum(parts, Counter[str]())
    return Counter({code: number * count for code, number in total.items()})


BLOCK = HEADS + MIX + FEED + SUM + SUM
OWN_ENCODER = times(2, BLOCK, CENTERED_NORM, CENTERED_NORM) + CENTERED_NORM + Counter(FULLY_CONNECTED=2, ADD=1, MEAN=1)
TORCH_ENCODER = times(2, BLOCK, NORM, NORM, AFFINE) + AFFINE + Counter(FULLY_CONNECTED=2, MEAN=1)
EXPECTED = {
    "encoder, packed": OWN_ENCODER,
    "encoder, apart": OWN_ENCODER,
    "torch's encoder": TORCH_ENCODER,
    "torch's encoder, tokens first": TORCH_ENCODER,
    "vision": times(2, BLOCK, NORM, NORM)
    + NORM
    + Counter(CONV_2D=1, RESHAPE=1, PAD=1, ADD=1, STRIDED_SLICE=1, FULLY_CONNECTED=1),
    "mixer": times(2, FEED, NORM, SUM) + AFFINE + Counter(TRANSPOSE=2),
    "modern convolution": NORM + FEED + SUM + Counter(DEPTHWISE_CONV_2D=1, TRANSPOSE=1),
}


def of_rows(result: Emitted, content: bytes, inputs: dict[str, np.ndarray]) -> float:
    """Return the largest difference from ONNX Runtime as a share of its largest answer."""
    expected = OnnxSession(content, name="the original", threads=1).run(inputs)["y"]
    actual = answers(result, inputs)["y"]
    return float(np.abs(expected - actual).max() / np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_network_becomes_exactly_the_operators_that_it_needs(name: str) -> None:
    from tests.optimizer.formats.tflite_emitter.attention_networks import exported

    result = emitted(exported(name))

    assert operators(result) == EXPECTED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoder, packed", "torch's encoder", "vision", "mixer", "modern convolution"])
def test_a_network_answers_for_any_batch(name: str) -> None:
    from tests.optimizer.formats.tflite_emitter.attention_networks import NETWORKS, exported

    content = exported(name)
    shape = NETWORKS[name][1]

    result = emitted(content)
    rows = np.random.default_rng(0).standard_normal((3, *shape[1:])).astype(np.float32)

    assert result.fixed_batch == ""
    assert of_rows(result, content, {"x": rows}) <= 1e-5


@pytest.mark.slow
def test_token_numbers_and_a_mask_answer_for_any_batch() -> None:
    from tests.optimizer.formats.tflite_emitter.attention_networks import TOKENS, exported_language

    content, random = exported_language(), np.random.default_rng(0)

    result = emitted(content)
    seen = (random.random((3, TOKENS)) < 0.7).astype(np.int64)
    difference = of_rows(result, content, {"ids": random.integers(0, 20, (3, TOKENS)), "seen": seen})

    assert difference <= 1e-5
    assert operators(result) == times(2, BLOCK, SUM, NORM, NORM, AFFINE) + AFFINE + CENTERED_NORM + AFFINE + Counter(
        GATHER=1, ADD=1, RESHAPE=1, CAST=1, SUB=1, MUL=1, STRIDED_SLICE=1, FULLY_CONNECTED=1
    )


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 23])
def test_the_newer_exporter_leads_to_the_same_operators(opset: int) -> None:
    from tests.optimizer.formats.tflite_emitter.attention_networks import exported_by_program

    result = emitted(exported_by_program("encoder, packed", opset=opset))

    assert operators(result) == OWN_ENCODER
