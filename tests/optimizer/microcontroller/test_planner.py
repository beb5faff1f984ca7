"""The arena by the planner's rules: never less than the runtime takes, and not much more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.benchmark.micro import run_micro
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from optimizer.microcontroller.planner import Buffer, planned_arena, planned_head
from optimizer.passes import Precision
from tests.optimizer.passes.tflite_quantization.networks import a_float_net, made

SPANS = st.tuples(st.integers(1, 20), st.integers(0, 9), st.integers(0, 5))
BUFFERS = st.lists(SPANS.map(lambda one: Buffer(size=16 * one[0], first=one[1], last=one[1] + one[2])), max_size=12)


def test_buffers_of_one_moment_lie_side_by_side() -> None:
    assert planned_head((Buffer(size=32, first=0, last=1), Buffer(size=64, first=1, last=2))) == 96


def test_what_is_dead_makes_room() -> None:
    assert planned_head((Buffer(size=64, first=0, last=1), Buffer(size=64, first=2, last=3))) == 64


def test_a_gap_is_filled_by_what_fits() -> None:
    wide, low, high = (
        Buffer(size=96, first=0, last=0),
        Buffer(size=64, first=0, last=2),
        Buffer(size=32, first=1, last=2),
    )

    assert planned_head((wide, low, high)) == 160


@given(buffers=BUFFERS)
def test_the_head_holds_what_lives_at_once_and_no_more_than_all(buffers: list[Buffer]) -> None:
    busiest = max((sum(one.size for one in buffers if one.first <= at <= one.last) for at in range(20)), default=0)

    assert busiest <= planned_head(buffers) <= sum(one.size for one in buffers)


def test_an_operator_that_gives_a_single_number_has_an_arena() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (4, 4)), writer.add_tensor("y", ())
    axes = writer.add_constant("axes", np.array([0, 1], np.int32))
    writer.add_operator("SUM", (source, axes), (result,), options=writer.schema.ReducerOptionsT())

    arena = planned_arena(writer.to_bytes([("x", source)], [("y", result)]))

    assert arena >= 64 + 16


@pytest.mark.slow
@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT16X8])
def test_the_plan_is_at_least_what_the_runtime_takes(precision: Precision) -> None:
    model = made(precision)

    taken = run_micro(model).arena_bytes

    assert taken <= planned_arena(model.content) <= 2 * taken


@pytest.mark.slow
def test_the_plan_holds_for_a_float_file_too() -> None:
    taken = run_micro(a_float_net()).arena_bytes

    assert taken <= planned_arena(a_float_net().content) <= 2 * taken
