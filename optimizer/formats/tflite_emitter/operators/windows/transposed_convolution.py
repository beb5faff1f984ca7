"""Transposed convolutions: a plain convolution that gives all pixels of a block at once, then DEPTH_TO_SPACE.

Two to three times as quick as TRANSPOSE_CONV on XNNPACK (16 to 64 channels, kernels 2 to 4, stride 2), and free in the
batch, which TRANSPOSE_CONV's constant shape is not: that is written where the batch is fixed and nothing has to be cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import arranged
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.windows.convolution import kernel_operator
from optimizer.formats.tflite_emitter.operators.windows.window import SAME, VALID, pairs_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.layout import Value
    from optimizer.formats.tflite_emitter.lowering import Lowering


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One axis: pixel ``i`` of ``size`` adds to ``kernel`` pixels from ``i * stride - cut`` on, ``grown`` are kept.

    Pixel ``phase`` of block ``q`` (there are ``stride`` in each) takes the kernel's number ``phase + cut + stride * m``
    from pixel ``q - m``, for m from ``low`` to ``high``.
    """

    size: int
    grown: int
    kernel: int
    stride: int
    cut: int

    @property
    def low(self) -> int:
        """How far after its own a block looks, negative."""
        return -((self.stride - 1 + self.cut) // self.stride)

    @property
    def high(self) -> int:
        """How far before its own a block looks."""
        return max(0, (self.kernel - 1 - self.cut) // self.stride)

    @property
    def taps(self) -> int:
        """Pixels that a block depends on."""
        return self.high - self.low + 1

    @property
    def pads(self) -> tuple[int, int]:
        """Padding of the plain convolution that gives the blocks."""
        blocks = -(-self.grown // self.stride)
        return self.high, max(0, blocks - self.low - self.size)

    @property
    def blocks(self) -> int:
        """Blocks that the plain convolution gives; at least those that are kept."""
        return self.size + sum(self.pads) - self.taps + 1

    @property
    def fits(self) -> frozenset[int]:
        """The paddings with which TRANSPOSE_CONV gives this axis."""
        over = (self.size - 1) * self.stride + self.kernel - self.grown
        same = over >= 0 and self.cut == over // 2 and self.size == -(-self.grown // self.stride)
        return frozenset(({SAME} if same else set()) | ({VALID} if self.cut == over == 0 else set()))

    def uncut(self) -> Growth:
        """Return the axis with what is cut at its beginning still there."""
        return dataclasses.replace(self, grown=self.grown + self.cut, cut=0)

    def places(self) -> NDArray[np.int64]:
        """Return which number of the kernel each (phase, tap) takes; outside of it where it takes none."""
        phases = np.arange(self.stride)[:, np.newaxis]
        return phases + self.cut + self.stride * (self.high - np.arange(self.taps))


def lower_transposed_convolution(operation: Operation, lowering: Lowering) -> None:
    """Write ConvTranspose, of an image or a line, any stride, padding, dilation and number of groups."""
    image, kernel = lowering.image(operation), _kernel(operation, lowering)
    axes = [_growth(operation, lowering, image=image, kernel=kernel, place=place) for place in (0, 1)]
    fits = axes[0].fits & axes[1].fits
    if fits and image.batch is None and operation.integer("group", 1) == 1:
        _write_transposed(operation, lowering, image=image, kernel=kernel, padding=min(fits))
        return
    uncut = [axis.uncut() for axis in axes]
    if uncut[0].taps * uncut[1].taps < axes[0].taps * axes[1].taps:
        axes = uncut
    grown = _blocks(operation, lowering, image=image, kernel=kernel, axes=(axes[0], axes[1]))
    _cut(operation, lowering, grown, image=image, axes=(axes[0], axes[1]))


def _kernel(operation: Operation, lowering: Lowering) -> NDArray[Any]:
    """Return the kernel, (in, out, h, w), its dilation as zeros in it."""
    kernel = lowering.constant(operation, 1)
    rank = kernel.ndim - 2
    if rank not in (1, 2):
        raise lowering.refusal(operation, f"its kernel has rank {kernel.ndim}; 1-D and 2-D are written")
    if rank == 1:
        kernel = kernel[:, :, np.newaxis, :]
    dilations = pairs_of(operation, "dilations", rank, default=1, line=1)
    reach = [(kernel.shape[2 + place] - 1) * dilations[place] + 1 for place in (0, 1)]
    spread = np.zeros((*kernel.shape[:2], *reach), dtype=np.float32)
    spread[:, :, :: dilations[0], :: dilations[1]] = kernel
    return spread


def _growth(operation: Operation, lowering: Lowering, *, image: Value, kernel: NDArray[Any], place: int) -> Growth:
    rank = len(image.shape) - 2
    stride = pairs_of(operation, "strides", rank, default=1, line=1)[place]
    more = pairs_of(operation, "output_padding", rank, default=0, line=0)[place]
    size = image.stored_shape[1 + place]
    grown = arranged(lowering.result(operation).shape, image.axes)[1 + place]
    over = (size - 1) * stride + kernel.shape[2 + place] + more - grown
    automatic, given = operation.text("auto_pad", "NOTSET"), operation.integers("pads", (0,) * 2 * rank)
    cut = over - over // 2 if automatic != "SAME_UPPER" else over // 2
    if automatic == "NOTSET" and not operation.integers("output_shape", ()):
        cut = (0, *given)[place] if rank == 1 else given[place]
    elif automatic == "VALID" or (rank == 1 and place == 0):
        cut = 0
    if cut < 0:
        raise lowering.refusal(operation, "its output_shape is larger than what it computes; pad its result with Pad")
    return Growth(size=size, grown=grown, kernel=kernel.shape[2 + place], stride=stride, cut=cut)


def _bias(operation: Operation, lowering: Lowering, outputs: int) -> NDArray[Any]:
    return lowering.constant(operation, 2) if operation.input(2) else np.zeros(outputs)


def _write_transposed(
    operation: Operation, lowering: Lowering, *, image: Value, kernel: NDArray[Any], padding: int
) -> None:
    """Write TRANSPOSE_CONV, whose kernel is (out, h, w, in)."""
    options = lowering.schema.TransposeConvOptionsT()
    options.padding = padding
    options.strideH, options.strideW = pairs_of(operation, "strides", len(image.shape) - 2, default=1, line=1)
    options.fusedActivationFunction = operation.activation.value
    shape = arranged(lowering.result(operation).shape, image.axes)
    bias = _bias(operation, lowering, kernel.shape[1]).astype(np.float32)
    inputs = (
        lowering.numbers(shape, "shape"),
        lowering.writer.add_constant(f"{operation.output}/kernel", kernel.transpose(1, 2, 3, 0)),
        image.tensor,
        lowering.writer.add_constant(f"{operation.output}/bias", bias),
    )
    version = 4 if options.fusedActivationFunction else 3
    lowering.write(operation, "TRANSPOSE_CONV", inputs, axes=image.axes, options=options, version=version)


def _blocks(
    operation: Operation, lowering: Lowering, *, image: Value, kernel: NDArray[Any], axes: tuple[Growth, Growth]
) -> int:
    """Append what gives the uncut result; return its tensor."""
    groups, name = operation.integer("group", 1), operation.output
    outputs, (high, wide) = kernel.shape[1], (axes[0].stride, axes[1].stride)
    phases = _phases(kernel, axes=axes, groups=groups)
    bias = np.tile(_bias(operation, lowering, groups * outputs).reshape(groups, 1, outputs), (1, high * wide, 1))
    tensor = image.tensor
    pads = ((0, 0), axes[0].pads, axes[1].pads, (0, 0))
    rows, channels = image.stored_shape[0], image.stored_shape[3]
    if pads != ((0, 0),) * 4:
        padded = tuple(int(size) for size in np.asarray(image.stored_shape) + np.asarray(pads).sum(axis=1))
        amounts = (tensor, lowering.numbers(np.asarray(pads), "pads"))
        tensor = lowering.step("PAD", amounts, f"{name}/padded", shape=padded, options=lowering.schema.PadOptionsT())
    written = kernel_operator(lowering, phases, groups=groups, channels=channels)
    written.options.fusedActivationFunction = operation.activation.value
    written.options.padding = VALID
    inputs = (
        tensor,
        lowering.writer.add_constant(f"{name}/kernel", written.kernel),
        lowering.writer.add_constant(f"{name}/bias", bias.reshape(-1).astype(np.float32)),
    )
    shape = (rows, axes[0].blocks, axes[1].blocks, len(phases))
    tensor = lowering.step(
        written.code, inputs, f"{name}/blocks", shape=shape, options=written.options, version=written.version
    )
    if groups > 1 and high * wide > 1:
        tensor = _phases_first(lowering, tensor, shape, name, groups=groups, phases=high * wide)
    return _spread(lowering, tensor, shape, name, block=(high, wide))


def _phases(kernel: NDArray[Any], *, axes: tuple[Growth, Growth], groups: int) -> NDArray[Any]:
    """Return the plain convolution's kernel, (groups x phases x out, in / groups, taps, taps)."""
    inputs, outputs = kernel.shape[:2]
    bordered = np.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 1)))
    rows, columns = (
        np.where((places >= 0) & (places < axis.kernel), places, axis.kernel)
        for axis, places in ((axis, axis.places()) for axis in axes)
    )
    taken = bordered[:, :, rows][..., columns]
    grouped = taken.reshape(groups, inputs // groups, outputs, *rows.shape, *columns.shape)
    ordered = grouped.transpose(0, 3, 5, 2, 1, 4, 6)
    return ordered.reshape(-1, inputs // groups, rows.shape[1], columns.shape[1])


def _phases_first(
    lowering: Lowering, tensor: int, shape: tuple[int, ...], name: str, *, groups: int, phases: int
) -> int:
    """Append what turns channels (group, phase, out) into (phase, group, out); return the tensor."""
    rows, height, width, channels = shape
    split = (rows * height * width, groups, phases, channels // (groups * phases))
    tensor = lowering.reshape_tensor(tensor, split, f"{name}/groups", batch=0)
    tensor = _swapped(lowering, tensor, split, f"{name}/ordered")
    return lowering.reshape_tensor(tensor, shape, f"{name}/phases", batch=0)


def _swapped(lowering: Lowering, tensor: int, shape: tuple[int, ...], name: str) -> int:
    """Append the TRANSPOSE of the two axes in the middle of four."""
    inputs = (tensor, lowering.numbers((0, 2, 1, 3), "permutation"))
    turned, options = (shape[0], shape[2], shape[1], shape[3]), lowering.schema.TransposeOptionsT()
    return lowering.step("TRANSPOSE", inputs, name, shape=turned, options=options)


def _spread(lowering: Lowering, tensor: int, shape: tuple[int, ...], name: str, *, block: tuple[int, int]) -> int:
    """Append what lays channels (phase, phase, out) out as pixels; return its tensor."""
    rows, height, width, channels = shape
    (high, wide), kept = block, channels // (block[0] * block[1])
    grown = (rows, height * high, width * wide, kept)
    if block == (1, 1):
        return tensor
    if high == 1:
        return lowering.reshape_tensor(tensor, grown, f"{name}/spread", batch=0)
    if high == wide:
        options = lowering.schema.DepthToSpaceOptionsT()
        options.blockSize = high
        return lowering.step("DEPTH_TO_SPACE", (tensor,), f"{name}/spread", shape=grown, options=options)
    split = (rows * height, width, high, wide * kept)
    tensor = lowering.reshape_tensor(tensor, split, f"{name}/split", batch=0)
    tensor = _swapped(lowering, tensor, split, f"{name}/turned")
    return lowering.reshape_tensor(tensor, grown, f"{name}/spread", batch=0)


def _cut(operation: Operation, lowering: Lowering, tensor: int, *, image: Value, axes: tuple[Growth, Growth]) -> None:
    """Record the result, by STRIDED_SLICE where more than it was computed."""
    size = arranged(lowering.result(operation).shape, image.axes)[1:3]
    begins = [axis.grown - kept for axis, kept in zip(axes, size, strict=True)]
    given = [axis.blocks * axis.stride for axis in axes]
    if tuple(given) == size:
        lowering.define(operation, tensor, axes=image.axes)
        return
    options = lowering.schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = 0b1001
    inputs = (
        tensor,
        lowering.numbers((0, *begins, 0), "begin"),
        lowering.numbers((0, *(begin + kept for begin, kept in zip(begins, size, strict=True)), 0), "end"),
        lowering.numbers((1, 1, 1, 1), "strides"),
    )
    lowering.write(operation, "STRIDED_SLICE", inputs, axes=image.axes, options=options)


ENTRIES: Mapping[str, Entry] = {
    "ConvTranspose": Entry(
        lower=lower_transposed_convolution,
        writes=("CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "STRIDED_SLICE", "TRANSPOSE_CONV"),
        image=True,
        limits="constant kernel; 1-D and 2-D",
    ),
}
