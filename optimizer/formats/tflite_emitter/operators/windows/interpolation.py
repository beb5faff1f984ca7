"""What an ONNX Resize (or Upsample) computes along one axis, and what TFLite's own resizes compute.

ONNX Runtime is asked: resizing the unit vectors gives the matrix from pixels of the input to pixels of the result.
All its modes are such a product along each axis, one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation


def asked_matrix(
    operation: Operation, *, opset: int, size: int, grown: int, scale: float | None, region: tuple[float, float]
) -> NDArray[np.float32] | None:
    """Return the matrix, (grown, size), of one axis; None where ONNX Runtime refuses.

    ``scale`` is None where the model names the result's size; ``region`` is what tf_crop_and_resize
    keeps.
    """
    import onnx
    from onnx import TensorProto, helper

    from optimizer.errors import MeasureFailed, ModelError
    from optimizer.formats.onnx_format import OnnxSession

    given: dict[str, NDArray[Any]] = {}
    if scale is None:
        given["sizes"] = np.asarray([1, 1, grown, size], dtype=np.int64)
    else:
        given["scales"] = np.asarray([1, 1, scale, 1], dtype=np.float32)
    if operation.op == "Resize" and opset in _NAMES_BOTH and scale is None:
        given["scales"] = np.zeros(0, dtype=np.float32)
    if operation.op == "Resize" and opset > _LAST_WITHOUT_REGION:
        given["roi"] = np.asarray([0, 0, region[0], 0, 1, 1, region[1], 1], dtype=np.float32)
    attributes = {name: value for name, value in operation.attributes.items() if name not in _BY_AXIS}
    if operation.op == "Upsample" and opset < _UPSAMPLE_BY_INPUT:
        attributes["scales"] = given.pop("scales").tolist()
    made = helper.make_node(operation.op, _inputs(operation, given, opset=opset), ["y"], **attributes)
    body = helper.make_graph(
        [made],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, size, size))],
        [onnx.ValueInfoProto(name="y")],
        [onnx.numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_VERSION)
    try:
        session = OnnxSession(model.SerializeToString(), name="the resize", threads=1)
        answer = np.asarray(session.run({"x": np.eye(size, dtype=np.float32)[np.newaxis, np.newaxis]})["y"])
    except (MeasureFailed, ModelError):
        return None
    return answer[0, 0] if answer.shape == (1, 1, grown, size) else None


_LAST_WITHOUT_REGION = 10
_UPSAMPLE_BY_INPUT = 9
_NAMES_BOTH = (11, 12)
_IR_VERSION = 10
_BY_AXIS = frozenset({"axes", "scales", "keep_aspect_ratio_policy"})


def _inputs(operation: Operation, given: Mapping[str, object], *, opset: int) -> list[str]:
    if operation.op == "Upsample":
        return ["x"] if opset < _UPSAMPLE_BY_INPUT else ["x", "scales"]
    if opset <= _LAST_WITHOUT_REGION:
        return ["x", "scales"]
    names = ["x", "roi", "scales" if "scales" in given else ""]
    return [*names, "sizes"] if "sizes" in given else names


def chosen_pixels(matrix: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Return which pixel each pixel of the result copies; None where it is more than a copy."""
    copies = ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=1) == 1).all()
    return np.asarray(matrix.argmax(axis=1), dtype=np.int64) if copies else None


def nearest_of_tflite(size: int, grown: int, *, align: bool, half: bool) -> NDArray[np.int64]:
    """Return which pixel RESIZE_NEAREST_NEIGHBOR copies, as its kernel computes it in float32."""
    places = np.arange(grown, dtype=np.float32) + np.float32(0.5 if half else 0)
    spread = align and grown > 1
    scale = np.float32(size - 1) / np.float32(grown - 1) if spread else np.float32(size) / np.float32(grown)
    exact = places * scale
    chosen = np.floor(exact + np.float32(0.5)) if align else np.floor(exact)
    return np.asarray(np.clip(chosen, 0, size - 1), dtype=np.int64)


def bilinear_of_tflite(size: int, grown: int, *, align: bool, half: bool) -> NDArray[np.float64]:
    """Return the matrix of RESIZE_BILINEAR along one axis, as its kernel computes it in float32."""
    spread = align and grown > 1
    scale = np.float32(size - 1) / np.float32(grown - 1) if spread else np.float32(size) / np.float32(grown)
    places = np.arange(grown, dtype=np.float32)
    exact = (places + np.float32(0.5)) * scale - np.float32(0.5) if half else places * scale
    exact = np.clip(exact, np.float32(0), np.float32(size - 1))
    low = np.floor(exact).astype(np.int64)
    share = (exact - low).astype(np.float64)
    matrix = np.zeros((grown, size))
    np.add.at(matrix, (np.arange(grown), low), 1 - share)
    np.add.at(matrix, (np.arange(grown), np.minimum(low + 1, size - 1)), share)
    return matrix
