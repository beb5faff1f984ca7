"""A TFLite file's inner tensors: the same statistics in any batches, states forgotten between rows, bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.calibration.collect import collect
from optimizer.calibration.instrument import instrumented
from optimizer.errors import PassFailed
from optimizer.formats.inner_tensors import look_inside
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from optimizer.model import Format, Model
from tests.optimizer.passes.tflite_quantization.networks import a_float_net, image_rows


def test_every_float_tensor_is_shown_with_its_own_values() -> None:
    row = image_rows(1)

    shown = instrumented(a_float_net(), threads=1).run({"image": row})
    inside = look_inside(a_float_net(), {"image": row}).tensors

    assert set(shown) == {"image", *inside}
    assert all(np.allclose(shown[name], inside[name].values, atol=1e-5) for name in inside)


def test_statistics_are_the_same_whatever_the_batches() -> None:
    rows = image_rows(9)

    whole = collect(a_float_net(), [{"image": rows}])
    parts = collect(a_float_net(), [{"image": rows[:2]}, {"image": rows[2:]}])

    assert whole.rows == parts.rows == 9
    assert {name: (one.low, one.high, one.count) for name, one in whole.tensors.items()} == {
        name: (one.low, one.high, one.count) for name, one in parts.tensors.items()
    }


def test_collecting_goes_on_where_it_was_stopped() -> None:
    rows = image_rows(9)

    begun = collect(a_float_net(), [{"image": rows[:4]}])
    ended = collect(a_float_net(), [{"image": rows[4:]}], begin=begun)

    assert {name: one.histogram.tolist() for name, one in ended.tensors.items()} == {
        name: one.histogram.tolist() for name, one in collect(a_float_net(), [{"image": rows}]).tensors.items()
    }


def test_a_row_that_gives_what_is_not_finite_is_named() -> None:
    rows = image_rows(5)
    rows[3, 1, 1, 0] = np.nan

    with pytest.raises(PassFailed, match="NaN or infinite on calibration row 3"):
        collect(a_float_net(), [{"image": rows}])


def test_rows_of_another_shape_are_refused_in_words() -> None:
    with pytest.raises(PassFailed, match="LiteRT cannot run it on the rows"):
        instrumented(a_float_net(), threads=1).run({"image": np.zeros((1, 6, 5, 7), np.float32)})


def test_a_pad_of_the_lowest_number_is_no_part_of_the_range() -> None:
    writer = TfliteWriter()
    source, result = writer.add_tensor("x", (1, 4)), writer.add_tensor("y", (1, 6))
    where = writer.add_constant("pads", np.array([[0, 0], [1, 1]], np.int32))
    lowest = writer.add_constant("lowest", np.array(np.finfo(np.float32).min, np.float32))
    writer.add_operator("PADV2", (source, where, lowest), (result,), options=writer.schema.PadV2OptionsT())
    clipped = writer.add_tensor("z", (1, 6))
    writer.add_operator("RELU", (result,), (clipped,))
    model = Model.from_bytes(Format.TFLITE, writer.to_bytes([("x", source)], [("z", clipped)]), name="padded")

    padded = collect(model, [{"x": np.array([[-2, 1, 2, 3]], np.float32)}]).tensors["y"]

    assert (padded.low, padded.high, padded.infinite) == (-2.0, 3.0, 2)
