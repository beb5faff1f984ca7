"""Channels made into pixels and back: DepthToSpace and SpaceToDepth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_depth_to_space(operation: Operation, lowering: Lowering) -> None:
    """Write DepthToSpace: TFLite's own for mode DCR, by moving axes for CRD (a Conv before it may make it DCR)."""
    image, block = lowering.image(operation), operation.integer("blocksize", 1)
    if operation.text("mode", "DCR") == "DCR":
        options = lowering.schema.DepthToSpaceOptionsT()
        options.blockSize = block
        lowering.write(operation, "DEPTH_TO_SPACE", (image.tensor,), axes=image.axes, options=options)
        return
    rows, height, width, channels = image.stored_shape
    kept, rows = channels // block**2, rows * height
    split = (rows, width, kept, block, block)
    tensor = lowering.reshape_tensor(image.tensor, split, f"{operation.output}/split", batch=0)
    order = lowering.numbers((0, 3, 1, 4, 2), "permutation")
    shape, name = (rows, block, width, block, kept), f"{operation.output}/turned"
    options = lowering.schema.TransposeOptionsT()
    tensor = lowering.step("TRANSPOSE", (tensor, order), name, shape=shape, options=options)
    spread = (image.stored_shape[0], height * block, width * block, kept)
    tensor = lowering.reshape_tensor(tensor, spread, operation.output, batch=0)
    lowering.define(operation, tensor, axes=image.axes)


def lower_space_to_depth(operation: Operation, lowering: Lowering) -> None:
    """Write SpaceToDepth."""
    image = lowering.image(operation)
    options = lowering.schema.SpaceToDepthOptionsT()
    options.blockSize = operation.integer("blocksize", 1)
    lowering.write(operation, "SPACE_TO_DEPTH", (image.tensor,), axes=image.axes, options=options)


ENTRIES: Mapping[str, Entry] = {
    "DepthToSpace": Entry(lower=lower_depth_to_space, writes=("DEPTH_TO_SPACE", "TRANSPOSE"), image=True),
    "SpaceToDepth": Entry(lower=lower_space_to_depth, writes=("SPACE_TO_DEPTH",), image=True),
}
