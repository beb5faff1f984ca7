"""Resize becomes TFLite's own operator where that computes the same, and something exact where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter import emit
from optimizer.formats.tflite_emitter.operators.windows.interpolation import bilinear_of_tflite, nearest_of_tflite
from tests.optimizer.formats.onnx_graphs import emitted, graph, operators

SHAPE = (1, 3, 4, 6)


def resize(**attributes: Any) -> Any:
    """Return a Resize by factors; the region is left out."""
    from onnx import helper

    return helper.make_node("Resize", ["x", "", "scales"], ["y"], name="resize", **attributes)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, "NEAREST"),
        ({"mode": "nearest"}, "NEAREST"),
        ({"mode": "linear"}, "BILINEAR"),
        ({"mode": "linear", "coordinate_transformation_mode": "align_corners"}, "BILINEAR"),
        ({"mode": "linear", "coordinate_transformation_mode": "asymmetric"}, "BILINEAR"),
        ({"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}, "BILINEAR"),
    ],
)
def test_what_tflite_computes_is_one_operator(attributes: dict[str, str], code: str) -> None:
    scales = np.asarray([1, 1, 2, 2], dtype=np.float32)

    result = operators(emitted(graph(resize(**attributes), inputs={"x": SHAPE}, constants={"scales": scales})))

    name = "RESIZE_NEAREST_NEIGHBOR" if code == "NEAREST" else "RESIZE_BILINEAR"
    assert result == {name: 1, "TRANSPOSE": 1}


def test_pixels_copied_in_another_order_are_gathered() -> None:
    scales = np.asarray([1, 1, 1, 2], dtype=np.float32)
    ceiling = resize(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="ceil")

    result = operators(emitted(graph(ceiling, inputs={"x": SHAPE}, constants={"scales": scales})))

    assert result["GATHER"] == 1
    assert result["RESIZE_NEAREST_NEIGHBOR"] == 0


def test_a_cubic_resize_is_a_product_along_each_axis_and_moves_nothing() -> None:
    scales = np.asarray([1, 1, 2, 1.5], dtype=np.float32)

    result = operators(emitted(graph(resize(mode="cubic"), inputs={"x": SHAPE}, constants={"scales": scales})))

    assert result["BATCH_MATMUL"] == 2
    assert result["TRANSPOSE"] <= 1


def test_pixels_from_outside_of_the_image_are_refused() -> None:
    from onnx import helper

    cropped = helper.make_node(
        "Resize",
        ["x", "region", "scales"],
        ["y"],
        name="resize",
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
    )
    constants = {
        "region": np.asarray([0, 0, -0.5, 0, 1, 1, 1, 1], dtype=np.float32),
        "scales": np.asarray([1, 1, 2, 2], dtype=np.float32),
    }

    with pytest.raises(UnsupportedOperator, match="outside of the image"):
        emit(graph(cropped, inputs={"x": SHAPE}, constants=constants))


def test_sizes_that_name_the_batch_fix_it() -> None:
    from onnx import helper

    sized = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], name="resize")
    sizes = np.asarray([1, 3, 8, 12], dtype=np.int64)

    result = emit(graph(sized, inputs={"x": SHAPE}, constants={"sizes": sizes}))

    assert "batch" in result.fixed_batch


@pytest.mark.parametrize(("align", "half"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize(("size", "grown"), [(3, 7), (7, 3), (4, 8)])
def test_the_account_of_tflites_own_resizes_is_what_its_kernels_do(
    *, align: bool, half: bool, size: int, grown: int
) -> None:
    image = np.random.default_rng(0).standard_normal((1, size, 1, 1), dtype=np.float32)

    nearest = answered("RESIZE_NEAREST_NEIGHBOR", image, grown, align=align, half=half)
    mixed = answered("RESIZE_BILINEAR", image, grown, align=align, half=half)

    column = image.reshape(-1)
    np.testing.assert_array_equal(nearest, column[nearest_of_tflite(size, grown, align=align, half=half)])
    np.testing.assert_allclose(mixed, bilinear_of_tflite(size, grown, align=align, half=half) @ column, atol=1e-6)


def answered(code: str, image: Any, grown: int, *, align: bool, half: bool) -> Any:
    """Return what the operator alone gives for a column of pixels."""
    from ai_edge_litert.interpreter import Interpreter

    from optimizer.formats.tflite_emitter.writer import TfliteWriter

    writer = TfliteWriter()
    options = {
        "RESIZE_BILINEAR": writer.schema.ResizeBilinearOptionsT,
        "RESIZE_NEAREST_NEIGHBOR": writer.schema.ResizeNearestNeighborOptionsT,
    }[code]()
    options.alignCorners, options.halfPixelCenters = align, half
    given, result = writer.add_tensor("x", image.shape), writer.add_tensor("y", (1, grown, 1, 1))
    size = writer.add_constant("size", np.asarray([grown, 1], dtype=np.int32))
    writer.add_operator(code, (given, size), (result,), options=options, version=3)
    interpreter = Interpreter(model_content=writer.to_bytes([("x", given)], [("y", result)]))
    return interpreter.get_signature_runner("serving_default")(x=image)["y"].reshape(-1)
