"""From a base to its next version and no further: what a delta makes, what it costs, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.delta import apply, make
from contracts.delta.file import FULL, LENGTH_LIMIT_BYTES, PREFIX, TENSORS
from contracts.delta.generic import packed
from contracts.errors import DeltaError
from contracts.ids import digest_of
from tests.builders import TinyModel, a_tiny_tflite_artifact
from tests.contracts.delta.models import float_pair, int8_file, int8_pair, onnx_file, tuned, weights

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "deltas"
CODEC = 3
Pair = Callable[[], tuple[bytes, bytes]]


def applied(base: bytes, target: bytes, delta: bytes) -> bytes:
    return apply(base, delta, length=len(target), digest=digest_of(target))


@pytest.mark.parametrize(("pair", "times"), [(float_pair, 1.25), (int8_pair, 1.5)])
def test_a_fine_tune_takes_far_less_than_zstd_with_the_base_as_prefix(pair: Pair, times: float) -> None:
    base, target = pair()

    delta = make(base, target)

    assert delta[CODEC] == TENSORS
    assert applied(base, target, delta) == target
    assert len(packed(target, base)) > times * len(delta)


def test_equal_input_gives_equal_bytes() -> None:
    base, target = int8_pair()

    assert make(base, target) == make(base, target)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.int8, np.int32])
def test_tensors_of_every_type_come_back(dtype: type[np.generic]) -> None:
    old = weights(24, 40)
    scale = 1 if np.issubdtype(dtype, np.floating) else 100
    before, after = ((one * scale + scale).astype(dtype) for one in (old, tuned(old, by=0.02)))
    base, target = onnx_file({"weight": before}), onnx_file({"weight": after})

    assert applied(base, target, make(base, target)) == target


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38])
def test_odd_floats_come_back(odd: float) -> None:
    old = weights(24, 40)
    new = tuned(old)
    old[0, :20], new[3:5] = odd, odd
    base, target = onnx_file({"weight": old}), onnx_file({"weight": new})

    assert applied(base, target, make(base, target)) == target


@pytest.mark.slow
def test_a_tensor_larger_than_an_entry_is_cut_and_comes_back() -> None:
    old = weights(700, 400)
    base, target = onnx_file({"weight": old}), onnx_file({"weight": tuned(old)})

    delta = make(base, target)

    assert delta[CODEC] == TENSORS
    assert applied(base, target, delta) == target


def test_a_layer_that_grew_is_coded_afresh() -> None:
    base, target = onnx_file({"weight": weights(8, 40)}), onnx_file({"weight": weights(80, 40, seed=4)})

    delta = make(base, target)

    assert delta[CODEC] == TENSORS
    assert len(delta) < 0.95 * len(packed(target, base))
    assert applied(base, target, delta) == target


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_that_were_cut_are_coded_from_those_that_are_left(axis: int) -> None:
    old, left = weights(32, 24, 3, 3), [place for place in range(24) if place % 4]
    base, target = onnx_file({"weight": old}), onnx_file({"weight": tuned(old.take(left, axis=axis), by=1e-3)})

    delta = make(base, target)

    assert delta[CODEC] == TENSORS
    assert applied(base, target, delta) == target
    assert len(packed(target, base)) > 1.25 * len(delta)


def test_channels_cut_on_both_axes_of_int8_are_found_without_knowing_either() -> None:
    old, left = weights(32, 24, 3, 3), [place for place in range(24) if place % 4]
    new = tuned(old[left][:, left], by=1e-3)
    base, target = int8_file(old, given=0.03), int8_file(new, given=0.03)

    delta = make(base, target)

    assert applied(base, target, delta) == target
    assert len(packed(target, base)) > 1.5 * len(delta)


def test_a_change_that_is_a_product_of_two_vectors_takes_little() -> None:
    old = weights(96, 64)
    moved = (old + 5 * weights(96, 1, seed=5) @ weights(1, 64, seed=6)).astype(np.float32)
    base, target = int8_file(old, given=0.03), int8_file(moved, given=0.03)
    mixed = np.random.default_rng(7).permuted((moved - old).ravel()).reshape(96, 64).astype(np.float32)
    scattered = int8_file(old + mixed, given=0.03)

    delta = make(base, target)

    assert applied(base, target, delta) == target
    assert 1.2 * len(delta) < len(make(base, scattered))


@settings(max_examples=50)
@given(base=st.binary(max_size=200), target=st.binary(max_size=200))
def test_any_bytes_lead_to_any_others_at_four_bytes_more_than_zstd(base: bytes, target: bytes) -> None:
    delta = make(base, target)

    assert applied(base, target, delta) == target
    assert len(delta) <= 4 + min(len(packed(target, b"")), len(packed(target, base)))


@pytest.mark.parametrize("name", ["float", "int8", "tflite"])
def test_a_delta_of_old_still_leads_where_it_led(name: str) -> None:
    base, target, delta = ((GOLDEN / f"delta-1-{name}.{part}").read_bytes() for part in ("base", "target", "delta"))

    assert delta[2:4] == bytes((1, TENSORS))
    assert applied(base, target, delta) == target


@pytest.mark.parametrize(("name", "codec"), [("full", FULL), ("prefix", PREFIX)])
def test_a_generic_delta_of_old_still_leads_where_it_led(name: str, codec: int) -> None:
    base, target = ((GOLDEN / f"delta-1-int8.{part}").read_bytes() for part in ("base", "target"))
    delta = (GOLDEN / f"delta-1-{name}.delta").read_bytes()

    assert delta[CODEC] == codec
    assert applied(base, target, delta) == target


def test_a_repacked_artifact_takes_next_to_nothing() -> None:
    base, target = (a_tiny_tflite_artifact(TinyModel(hidden=64), version=version) for version in ("1.0.0", "1.0.1"))

    delta = make(base, target)

    assert len(delta) < 400
    assert applied(base, target, delta) == target


def test_what_is_too_long_for_a_delta_is_refused() -> None:
    with pytest.raises(DeltaError, match="more than"):
        make(bytes(LENGTH_LIMIT_BYTES + 1), b"")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from([float_pair, int8_pair]),
    where=st.floats(0, 1, exclude_max=True),
    value=st.integers(1, 255),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_a_damaged_delta_is_refused_with_one_error(pair: Pair, where: float, value: int, cut: float) -> None:
    base, target, delta = MADE[pair]
    broken = bytearray(delta)
    broken[int(where * len(delta))] ^= value
    broken = broken[: max(1, int(cut * len(delta)))]

    with pytest.raises(DeltaError):
        applied(base, target, bytes(broken))


@settings(max_examples=100)
@given(body=st.binary(max_size=300), codec=st.integers(0, 3))
def test_noise_is_refused_with_one_error(body: bytes, codec: int) -> None:
    base, target = b"base" * 40, b"target" * 40

    with pytest.raises(DeltaError):
        applied(base, target, b"ed" + bytes((1, codec)) + body)


MADE = {pair: (*pair(), make(*pair())) for pair in (float_pair, int8_pair)}
