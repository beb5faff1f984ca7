"""Convolutions over an image, or over a line as an image of height 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.windows.window import Slide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_convolution(operation: Operation, lowering: Lowering) -> None:
    """Write Conv as CONV_2D, or DEPTHWISE_CONV_2D where each channel has its own kernels.

    Groups of several channels are a CONV_2D whose kernel has a share of the channels: as quick as a SPLIT of it for few
    groups, and up to twice as quick for many.
    """
    kernel = lowering.constant(operation, 1)
    if kernel.ndim not in (3, 4):
        raise lowering.refusal(operation, f"its kernel has rank {kernel.ndim}; 1-D and 2-D convolutions are written")
    slide = Slide.of(operation, lowering, kernel=kernel.shape[2:])
    if kernel.ndim == 3:
        kernel = kernel[:, :, np.newaxis, :]
    bias = lowering.constant(operation, 2) if operation.input(2) else np.zeros(len(kernel))
    channels, groups = slide.image.stored_shape[3], operation.integer("group", 1)
    padding, tensor = slide.padded()
    written = kernel_operator(lowering, kernel, groups=groups, channels=channels)
    written.options.padding = padding
    written.options.strideH, written.options.strideW = slide.window.strides
    written.options.dilationHFactor, written.options.dilationWFactor = slide.window.dilations
    written.options.fusedActivationFunction = operation.activation.value
    inputs = (
        tensor,
        lowering.writer.add_constant(f"{operation.output}/kernel", written.kernel),
        lowering.writer.add_constant(f"{operation.output}/bias", bias.astype(np.float32)),
    )
    slide.define(written.code, inputs, options=written.options, version=written.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelOperator:
    """The operator that a kernel needs, its options (strides and dilations of 1), and the kernel as it stores it."""

    code: str
    version: int
    options: Any
    kernel: NDArray[np.float32]


def kernel_operator(lowering: Lowering, kernel: NDArray[Any], *, groups: int, channels: int) -> KernelOperator:
    """Return the operator for a kernel (out, in / groups, h, w) over that many channels."""
    if groups == channels > 1:
        options = lowering.schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = len(kernel) // channels
        code, version, order = "DEPTHWISE_CONV_2D", 2, (1, 2, 3, 0)
    else:
        options = lowering.schema.Conv2DOptionsT()
        code, version, order = "CONV_2D", 1, (0, 2, 3, 1)
    options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
    stored = kernel.transpose(order).astype(np.float32)
    return KernelOperator(code=code, version=version, options=options, kernel=stored)


ENTRIES: Mapping[str, Entry] = {
    "Conv": Entry(
        lower=lower_convolution,
        writes=("CONV_2D", "DEPTHWISE_CONV_2D", "PAD"),
        image=True,
        limits="constant kernel; 1-D and 2-D",
    ),
}
