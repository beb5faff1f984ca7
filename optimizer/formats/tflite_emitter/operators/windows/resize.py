"""Resize and Upsample: TFLite's own where it computes the same (proved pixel by pixel), else a product or a GATHER.

RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR know three ways to place pixels; the many of ONNX that agree with one of
them for the sizes at hand are found by computing both. What is left (cubic, antialiased, other roundings) is, along
each axis, a GATHER where pixels are copied, and a product with a constant matrix where they are mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.windows.interpolation import (
    asked_matrix,
    bilinear_of_tflite,
    chosen_pixels,
    nearest_of_tflite,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.layout import Value
    from optimizer.formats.tflite_emitter.lowering import Lowering

_CLOSE: Final = 4e-6
"""Largest sum of differences of weights, over both axes, at which RESIZE_BILINEAR counts as the same."""
_SIZES_PLACE: Final = 3
_PLACEMENTS: Final = ((False, False), (True, False), (False, True))
"""(align_corners, half_pixel_centers)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """One logical axis that changes: the matrix, (grown, size), from its pixels to those of the result."""

    axis: int
    matrix: NDArray[np.float32]


def lower_resize(operation: Operation, lowering: Lowering) -> None:
    """Write Resize or Upsample of any axes but the batch, by constant scales or sizes."""
    value = lowering.in_order(lowering.value(operation.input(0)))
    if value.element != np.float32:
        raise lowering.refusal(operation, f"its input is {value.element}; floats are resized: cast it before")
    changed = _changed(operation, lowering, value)
    names_batch = value.batch != lowering.result(operation).batch
    if names_batch or any(item.axis == value.batch for item in changed):
        raise lowering.refusal(operation, "it resizes the batch; export a fixed batch")
    if not changed:
        lowering.define(operation, value.tensor, axes=value.axes)
    elif (
        len(value.shape) in (3, 4) and all(item.axis >= 2 for item in changed) and _as_own(operation, lowering, changed)
    ):
        return
    else:
        _by_axis(operation, lowering, value, changed)


def _changed(operation: Operation, lowering: Lowering, value: Value) -> list[Resized]:
    """Return what happens along each axis on which something happens."""
    shape, rank = lowering.result(operation).shape, len(value.shape)
    scales, regions = _scales(operation, lowering, rank), _regions(operation, lowering, rank)
    found = []
    for axis, (size, grown) in enumerate(zip(value.shape, shape, strict=True)):
        scale = None if scales is None else scales.get(axis, 1.0)
        region = regions.get(axis, (0.0, 1.0))
        if size == grown and scale in (None, 1.0) and region == (0.0, 1.0):
            continue
        matrix = asked_matrix(operation, opset=lowering.graph.opset, size=size, grown=grown, scale=scale, region=region)
        if matrix is None:
            raise lowering.refusal(operation, f"ONNX Runtime does not resize its axis {axis} from {size} to {grown}")
        if not np.allclose(matrix.sum(axis=1), 1, atol=1e-4):
            raise lowering.refusal(
                operation, "it fills what lies outside of the image; crop with Slice and pad with Pad"
            )
        found.append(Resized(axis=axis, matrix=matrix))
    return found


def _scales(operation: Operation, lowering: Lowering, rank: int) -> dict[int, float] | None:
    """Return the factor of each axis that the model names factors for; None where it names sizes."""
    if operation.op == "Upsample":
        given = lowering.parameter(operation, 1, "scales")
    else:
        place = 1 if lowering.graph.opset <= 10 else 2
        if operation.input(_SIZES_PLACE):
            return _kept_ratio(operation, lowering, rank)
        given = lowering.constant(operation, place)
    numbers = np.asarray(given, dtype=np.float64).reshape(-1)
    return dict(zip(_axes(operation, rank), (float(number) for number in numbers), strict=True))


def _kept_ratio(operation: Operation, lowering: Lowering, rank: int) -> dict[int, float] | None:
    """Return the one factor that keeps the image's ratio, where the model asks for that; else None: sizes decide."""
    policy = operation.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return None
    axes = _axes(operation, rank)
    before = lowering.shape(operation, operation.input(0))
    wanted = lowering.constant(operation, _SIZES_PLACE)
    ratios = [np.float32(size) / np.float32(before[axis]) for axis, size in zip(axes, wanted, strict=True)]
    factor = float(min(ratios) if policy == "not_larger" else max(ratios))
    return dict.fromkeys(axes, factor)


def _regions(operation: Operation, lowering: Lowering, rank: int) -> dict[int, tuple[float, float]]:
    """Return the part of each axis that is kept, where the mode is to crop."""
    if operation.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        return {}
    axes = _axes(operation, rank)
    starts, ends = lowering.constant(operation, 1).astype(np.float64).reshape(2, -1).tolist()
    return {axis: (start, end) for axis, start, end in zip(axes, starts, ends, strict=True)}


def _axes(operation: Operation, rank: int) -> tuple[int, ...]:
    return tuple(axis % rank for axis in operation.integers("axes", tuple(range(rank))))


def _as_own(operation: Operation, lowering: Lowering, changed: list[Resized]) -> bool:
    """Write one RESIZE where it computes the same; return whether it does."""
    copies = [chosen_pixels(item.matrix) for item in changed]
    if all(copy is not None for copy in copies):
        code, fits = "RESIZE_NEAREST_NEIGHBOR", _same_pixels
    else:
        code, fits = "RESIZE_BILINEAR", _same_weights
    for align, half in _PLACEMENTS:
        if fits(changed, align=align, half=half):
            _write_own(operation, lowering, code, align=align, half=half)
            return True
    return False


def _same_pixels(changed: list[Resized], *, align: bool, half: bool) -> bool:
    return all(
        np.array_equal(
            item.matrix.argmax(axis=1),
            nearest_of_tflite(item.matrix.shape[1], len(item.matrix), align=align, half=half),
        )
        for item in changed
    )


def _same_weights(changed: list[Resized], *, align: bool, half: bool) -> bool:
    differences = [
        np.abs(item.matrix - bilinear_of_tflite(item.matrix.shape[1], len(item.matrix), align=align, half=half)).sum(
            axis=1
        )
        for item in changed
    ]
    return float(sum(difference.max() for difference in differences)) <= _CLOSE


def _write_own(operation: Operation, lowering: Lowering, code: str, *, align: bool, half: bool) -> None:
    image = lowering.image(operation)
    options = (
        lowering.schema.ResizeBilinearOptionsT()
        if code == "RESIZE_BILINEAR"
        else lowering.schema.ResizeNearestNeighborOptionsT()
    )
    options.alignCorners, options.halfPixelCenters = align, half
    shape = lowering.result(operation).shape
    size = shape[2:] if len(shape) == 4 else (1, shape[2])
    inputs = (image.tensor, lowering.numbers(size, "size"))
    lowering.write(operation, code, inputs, axes=image.axes, options=options, version=3)


def _by_axis(operation: Operation, lowering: Lowering, value: Value, changed: list[Resized]) -> None:
    """Write one GATHER or one product along each axis, in the layout as it is; the last gives the result."""
    tensor, shape = value.tensor, list(value.stored_shape)
    for item in changed:
        place = value.axes.index(item.axis)
        pixels = chosen_pixels(item.matrix)
        shape[place] = len(item.matrix)
        name = f"{operation.output}/axis {item.axis}"
        if pixels is not None:
            options = lowering.schema.GatherOptionsT()
            options.axis = place
            inputs = (tensor, lowering.numbers(pixels, "pixels"))
            tensor = lowering.step("GATHER", inputs, name, shape=shape, options=options)
        else:
            tensor = _mixed(lowering, tensor, item.matrix, name, shape=shape, place=place, batch=value.stored_batch)
    lowering.define(operation, tensor, axes=value.axes)


def _mixed(
    lowering: Lowering,
    tensor: int,
    matrix: NDArray[np.float32],
    name: str,
    *,
    shape: list[int],
    place: int,
    batch: int | None,
) -> int:
    """Append the product with the matrix along one place of the tensor: (rows, size, rest) as matrices."""
    rows, rest = int(np.prod(shape[:place])), int(np.prod(shape[place + 1 :]))
    grown, size = matrix.shape
    open_axis = None if batch is None else 0 if batch < place else 2
    tensor = lowering.reshape_tensor(tensor, (rows, size, rest), f"{name}/matrices", batch=open_axis)
    constant = lowering.writer.add_constant(f"{name}/weights", matrix[np.newaxis])
    options: Any = lowering.schema.BatchMatMulOptionsT()
    mixed = lowering.step(
        "BATCH_MATMUL", (constant, tensor), f"{name}/mixed", shape=(rows, grown, rest), options=options
    )
    return lowering.reshape_tensor(mixed, shape, name, batch=batch)


_LIMITS = "floats; constant sizes or scales; nothing from outside of the image"
ENTRIES: Mapping[str, Entry] = {
    op: Entry(
        lower=lower_resize,
        writes=("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "GATHER", "BATCH_MATMUL"),
        image=True,
        any_layout=True,
        limits=_LIMITS,
    )
    for op in ("Resize", "Upsample")
}
