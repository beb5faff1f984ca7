"""Cutting and picking moves nothing that it need not; that it answers as ONNX Runtime does is in ``cases``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.operators.selection import ENTRIES, UNWRITTEN
from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators, weights

IMAGE = (1, 6, 4, 4)
BEFORE, AFTER = node("Conv", "image kernel", "x"), node("GlobalAveragePool", "z", "y")
KERNEL = {"kernel": weights(6, 6, 1, 1)}


@pytest.mark.parametrize(
    ("chosen", "constants"),
    [
        (node("Slice", "x s e a", "z"), {"s": numbers(1), "e": numbers(99), "a": numbers(1)}),
        (node("Slice", "x s e a t", "z"), {"s": numbers(-1), "e": numbers(-99), "a": numbers(3), "t": numbers(-1)}),
        (node("Gather", "x i", "z", axis=1), {"i": numbers(4, 3, 2)}),
        (node("Gather", "x i", "z", axis=2), {"i": numbers(-1)}),
    ],
)
def test_a_part_of_a_channel_last_image_is_one_strided_slice(chosen: Any, constants: dict[str, Any]) -> None:
    result = emitted(graph(BEFORE, chosen, AFTER, inputs={"image": IMAGE}, constants={**KERNEL, **constants}))

    assert operators(result) == {"CONV_2D": 1, "STRIDED_SLICE": 1, "MEAN": 1, "RESHAPE": 1}


def test_indices_in_no_order_are_gathered_where_they_lie() -> None:
    picked = node("Gather", "x i", "z", axis=1)

    result = emitted(graph(BEFORE, picked, AFTER, inputs={"image": IMAGE}, constants={**KERNEL, "i": numbers(0, 5, 1)}))

    assert operators(result) == {"CONV_2D": 1, "GATHER": 1, "MEAN": 1, "RESHAPE": 1}


def test_slices_that_leave_nothing_out_are_one_split() -> None:
    parts = (
        node("Slice", "x half end axis", "b"),
        node("Slice", "x zero half axis", "a"),
        node("Mul", "a b", "z"),
    )
    bounds = {"zero": numbers(0), "half": numbers(3), "end": numbers(6), "axis": numbers(1)}

    result = emitted(graph(BEFORE, *parts, AFTER, inputs={"image": IMAGE}, constants={**KERNEL, **bounds}))

    assert operators(result) == {"CONV_2D": 1, "SPLIT": 1, "MUL": 1, "MEAN": 1, "RESHAPE": 1}


def test_the_last_row_of_any_batch_is_the_last_row() -> None:
    last = node("Gather", "x i", "y", axis=0)

    result = emitted(graph(last, inputs={"x": (1, 3, 4)}, constants={"i": np.asarray(-1, dtype=np.int64)}))

    assert result.fixed_batch == ""


@pytest.mark.parametrize(
    "cut",
    [
        (node("Slice", "x s e a t", "y"), {"s": numbers(0), "e": numbers(9), "a": numbers(0), "t": numbers(2)}),
        (node("Slice", "x s e a", "y"), {"s": numbers(0), "e": numbers(5), "a": numbers(0)}),
    ],
)
def test_a_cut_of_the_batch_whose_size_is_not_sure_fixes_it(cut: tuple[Any, dict[str, Any]]) -> None:
    operation, constants = cut

    result = emit(graph(operation, inputs={"x": (1, 3, 4)}, constants=constants))

    assert "batch" in result.fixed_batch


def test_a_cut_of_flattened_channel_last_columns_picks_them_where_they_lie() -> None:
    parts = (node("Flatten", "x", "flat"), node("Gather", "flat i", "y", axis=1))

    result = emitted(graph(BEFORE, *parts, inputs={"image": IMAGE}, constants={**KERNEL, "i": numbers(7, 1, 50)}))

    assert operators(result)["GATHER"] == 1
    assert operators(result)["TRANSPOSE"] == 0


@pytest.mark.parametrize("op", sorted(UNWRITTEN))
def test_what_no_file_can_promise_is_refused_with_a_way_out(op: str) -> None:
    assert op not in ENTRIES
    assert "; " in UNWRITTEN[op]


def test_boxes_of_unknown_number_are_refused_with_the_way_out() -> None:
    parts = (node("NonMaxSuppression", "x s", "chosen"), node("Cast", "chosen", "y", to=1))

    with pytest.raises(UnsupportedOperator, match=r"NonMaxSuppression.*postprocessing"):
        emit(graph(*parts, inputs={"x": (1, 5, 4), "s": (1, 2, 5)}, free_batch=False))


@pytest.mark.parametrize(
    ("scattered", "reason"),
    [
        (node("ScatterND", "x i u", "y", reduction="max"), "reduction 'max'"),
        (node("ScatterND", "x twice u", "y"), "twice"),
    ],
)
def test_a_scatter_that_depends_on_order_is_refused(scattered: Any, reason: str) -> None:
    indices = {"i": np.asarray([[0], [1]], dtype=np.int64), "twice": np.asarray([[1], [1]], dtype=np.int64)}
    content = graph(scattered, inputs={"x": (4, 3), "u": (2, 3)}, constants=indices, free_batch=False)

    with pytest.raises(UnsupportedOperator, match=reason):
        emit(content)
