"""One run over the rows: what is seen of every tensor, within a bounded memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.calibration.collect import collect
from optimizer.calibration.instrument import Instrumented
from optimizer.calibration.statistics import Statistics
from optimizer.errors import DatasetError, PassFailed
from optimizer.model import Format, Model
from tests.optimizer.builders import an_onnx_mlp, rows
from tests.optimizer.calibration.graphs import a_convnet, a_logarithm
from tests.optimizer.calibration.tensors import exact_all, means
from tests.optimizer.formats.onnx_graphs import graph, node

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IMAGES = rows((2, 6, 6), count=23)


def _cut(size: int) -> list[dict[str, NDArray[np.float32]]]:
    return [{"image": _IMAGES[start : start + size]} for start in range(0, len(_IMAGES), size)]


def test_every_float_tensor_that_depends_on_an_input_is_seen_in_the_files_order() -> None:
    seen = collect(a_convnet(), _cut(23))

    assert list(seen.tensors) == [
        "image", "convolved", "active", "gate", "gated", "pooled", "flat", "side", "scaled", "scores",
    ]  # fmt: skip
    assert seen.rows == 23


def test_what_is_seen_is_what_the_model_computes() -> None:
    inner = Instrumented(a_convnet(), threads=1).run({"image": _IMAGES})["gated"]

    seen = collect(a_convnet(), _cut(23)).tensors["gated"]

    assert (seen.count, seen.low, seen.high) == (inner.size, float(inner.min()), float(inner.max()))
    assert seen.channel_peak.tolist() == np.abs(inner).max(axis=(0, 2, 3)).tolist()
    np.testing.assert_allclose(seen.channel_mean, inner.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-12)


def test_channels_lie_at_axis_1_around_convolutions_and_last_elsewhere() -> None:
    seen = collect(a_convnet(), _cut(23)).tensors

    assert {name: (seen[name].axis, len(seen[name].channel_peak)) for name in ("image", "gate", "gated", "scores")} == {
        "image": (1, 2),
        "gate": (1, 3),
        "gated": (1, 3),
        "scores": (1, 4),
    }


def test_channels_of_a_sequence_are_the_last_axis() -> None:
    content = graph(node("Relu", "x", "y"), inputs={"x": (1, 5, 7)})
    model = Model.from_bytes(Format.ONNX, content, name="sequence")

    seen = collect(model, [{"x": rows((5, 7), count=3)}]).tensors["y"]

    assert (seen.axis, len(seen.channel_peak)) == (2, 7)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 23), st.integers(1, 1 << 14))
def test_neither_batches_nor_memory_change_what_is_seen(size: int, memory_bytes: int) -> None:
    whole = collect(a_convnet(), _cut(23))

    parted = collect(a_convnet(), _cut(size), memory_bytes=memory_bytes)

    assert exact_all(parted) == exact_all(whole)
    np.testing.assert_allclose(means(parted), means(whole), rtol=1e-12, atol=1e-15)


def test_a_run_takes_as_many_rows_as_the_memory_allows_and_no_more() -> None:
    row_bytes = sum(
        values.nbytes
        for name, values in Instrumented(a_convnet(), threads=1).run({"image": _IMAGES[:1]}).items()
        if name != "side"
    )
    points: list[Statistics] = []

    collect(a_convnet(), _cut(23), kept=points.append, memory_bytes=5 * row_bytes + 1)

    assert [point.rows for point in points] == [5, 10, 15, 20, 23]


def test_a_tensor_that_a_batch_shares_counts_once_for_each_row() -> None:
    seen = collect(a_convnet(), _cut(5)).tensors["side"]

    assert (seen.count, seen.low, seen.high, seen.histogram.sum()) == (23, 6.0, 6.0, 23)


def test_going_on_from_any_point_ends_with_the_same_numbers_means_included() -> None:
    points: list[Statistics] = []
    whole = collect(a_convnet(), _cut(23), kept=points.append, memory_bytes=1 << 12)

    again = [
        collect(a_convnet(), [{"image": _IMAGES[point.rows :]}], begin=point, memory_bytes=1 << 12)
        for point in points[:-1]
    ]

    assert len(again) > 3
    assert all(exact_all(one) == exact_all(whole) for one in again)
    assert all(means(one).tolist() == means(whole).tolist() for one in again)


def test_a_fixed_batch_is_kept_and_rows_left_over_are_left_out() -> None:
    model = a_convnet(free_batch=False, batch=4)

    seen = collect(model, [{"image": _IMAGES}])

    assert seen.rows == 20
    assert exact_all(seen)["gated"] == exact_all(collect(a_convnet(), [{"image": _IMAGES[:20]}]))["gated"]


def test_too_few_rows_are_one_line() -> None:
    with pytest.raises(DatasetError, match="too few calibration rows to look at; give at least 4"):
        collect(a_convnet(free_batch=False, batch=4), [{"image": _IMAGES[:3]}])


def test_a_tensor_that_is_not_finite_is_named_with_its_row() -> None:
    values = np.ones((9, 2), np.float32)
    values[6, 1] = 0.0

    with pytest.raises(PassFailed, match="logarithm: tensor 'inner' is NaN or infinite on calibration row 60 "):
        collect(a_logarithm(), [{"x": values[:5]}, {"x": values[5:]}], places=range(0, 90, 10))


def test_infinities_that_stay_inside_are_masks() -> None:
    content = graph(node("Log", "x", "mask"), node("Softmax", "mask", "y"), inputs={"x": (1, 3)})
    model = Model.from_bytes(Format.ONNX, content, name="masked")

    seen = collect(model, [{"x": np.array([[1, 0, 0], [1, 1, 0]], np.float32)}]).tensors

    assert (seen["mask"].infinite, seen["mask"].low, seen["y"].infinite, seen["y"].high) == (3, 0.0, 0, 1.0)


def test_an_input_that_is_not_finite_is_named_first() -> None:
    with pytest.raises(PassFailed, match="tensor 'x' is NaN or infinite on calibration row 0 "):
        collect(a_logarithm(), [{"x": np.full((1, 2), np.nan, np.float32)}])


def test_a_row_that_the_model_cannot_take_is_one_line() -> None:
    with pytest.raises(PassFailed, match="convnet: ONNX Runtime cannot run it on the rows"):
        collect(a_convnet(), [{"image": rows((3, 6, 6), count=2)}])


def test_a_model_of_another_format_is_refused() -> None:
    model = an_onnx_mlp()
    program = dataclasses.replace(model, spec=dataclasses.replace(model.spec, format=Format.TORCH))

    with pytest.raises(PassFailed, match="statistics need an ONNX or TFLite model, this is torch"):
        collect(program, [])


def test_a_model_that_takes_one_row_by_its_arithmetic_gets_one_at_a_time() -> None:
    content = graph(
        node("Reshape", "x shape", "row"),
        node("Relu", "row", "y"),
        inputs={"x": (1, 6)},
        constants={"shape": np.array([1, 6], np.int64)},
    )
    model = Model.from_bytes(Format.ONNX, content, name="one-row")

    assert collect(model, [{"x": rows((6,), count=5)}]).tensors["y"].count == 30


def test_bodies_of_branches_stay_hidden() -> None:
    from onnx import TensorProto, helper

    def body(op: str) -> object:
        out = helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["x"], ["inside"])], op, [], [out])

    content = graph(
        node("ReduceSum", "x", "total", keepdims=0),
        node("Greater", "total zero", "positive"),
        node("If", "positive", "y", then_branch=body("Relu"), else_branch=body("Neg")),
        inputs={"x": (1, 3)},
        constants={"zero": np.array(0, np.float32)},
    )

    seen = collect(Model.from_bytes(Format.ONNX, content, name="branch"), [{"x": rows((3,), count=4)}])

    assert list(seen.tensors) == ["x", "total", "y"]


def test_the_model_is_not_changed() -> None:
    model = an_onnx_mlp()

    collect(model, [{"row": rows((12,), count=4)}])

    assert Model.from_bytes(Format.ONNX, model.content, name="mlp").outputs == model.outputs
