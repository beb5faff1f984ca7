"""Packed weights are what ONNX Runtime's kernel reads, and no further from the weights than half a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.passes.transformer.dense import dense_layers
from optimizer.passes.transformer.graph import closed, open_graph
from optimizer.passes.transformer.integers import pack_blocks, to_blocks, to_integers
from tests.optimizer.builders import an_onnx_mlp, rows


def _answers(model: Model, row: NDArray[np.float32]) -> NDArray[Any]:
    (output,) = open_session(model).run({"row": row}).values()
    return output


def _unpacked(weights: NDArray[np.float32], bits: int, block: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weights that packed ones stand for, and the step of each."""
    packed, scales, zeros = pack_blocks(weights, bits=bits, block=block)
    inputs, outputs = weights.shape
    halves = [packed & 15, packed >> 4] if bits == 4 else [packed]
    whole = np.stack(halves, axis=-1).reshape(outputs, -1, block).astype(np.float64)
    blocks = whole.shape[1]
    zero_halves = [zeros & 15, zeros >> 4] if bits == 4 else [zeros]
    zero = np.stack(zero_halves, axis=-1).reshape(outputs, -1)[:, :blocks].astype(np.float64)
    step = np.repeat(scales.reshape(outputs, blocks), block, axis=1)[:, :inputs].T
    return ((whole - zero[..., None]) * scales.reshape(outputs, blocks, 1)).reshape(outputs, -1)[:, :inputs].T, step


@given(
    inputs=st.integers(1, 70), outputs=st.integers(1, 5), bits=st.sampled_from([4, 8]), block=st.sampled_from([16, 32])
)
@settings(max_examples=60, deadline=None)
def test_packed_weights_are_within_a_step(inputs: int, outputs: int, bits: int, block: int) -> None:
    weights = np.random.default_rng(inputs).normal(size=(inputs, outputs)).astype(np.float32)

    unpacked, step = _unpacked(weights, bits, block)

    assert (np.abs(unpacked - weights) <= 1.01 * step).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_a_block_of_zeros_stays_zero(bits: int) -> None:
    unpacked, _ = _unpacked(np.zeros((32, 3), np.float32), bits, 16)

    assert not unpacked.any()


@pytest.mark.parametrize(("bits", "most"), [(8, 0.02), (4, 0.3)])
@pytest.mark.parametrize("inputs", [12, 40, 128])
def test_onnx_runtime_computes_with_the_packed_weights(bits: int, most: float, inputs: int) -> None:
    model, row = an_onnx_mlp(inputs=inputs), rows((inputs,), count=9)
    graph = open_graph(model)
    layers = list(dense_layers(graph))

    for layer in layers:
        to_blocks(graph, layer, bits=bits, block=32, integer_products=False)

    exact = _answers(model, row)
    assert np.abs(_answers(closed(graph, model), row) - exact).max() < most * np.abs(exact).max()


def test_a_scale_for_each_token_spares_the_small_ones_an_outlier() -> None:
    model, row = an_onnx_mlp(), rows((12,), count=9)
    row[4] *= 1000
    small = np.arange(9) != 4

    errors = []
    for per_token in (False, True):
        graph = open_graph(model)
        for layer in list(dense_layers(graph)):
            to_integers(graph, layer, per_channel=True, per_token=per_token)
        errors.append(np.abs(_answers(closed(graph, model), row) - _answers(model, row))[small].max())

    assert errors[1] < 0.05 * errors[0]


def test_a_token_of_zeros_gives_the_bias_alone() -> None:
    model, row = an_onnx_mlp(), np.zeros((3, 12), np.float32)
    graph = open_graph(model)

    for layer in list(dense_layers(graph))[:1]:
        to_integers(graph, layer, per_channel=True, per_token=True)

    np.testing.assert_allclose(_answers(closed(graph, model), row), _answers(model, row), atol=1e-5)
