"""Operators that slide a window over an image: convolutions and pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.layout import Value, arranged
from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

Pair = tuple[int, int]
_SAME, _VALID = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window over height and width: ``pads`` are (before, after) for each of the two."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[Pair, Pair]

    @property
    def is_unpadded(self) -> bool:
        """Whether it stays inside the image."""
        return self.pads == ((0, 0), (0, 0))

    def same_pads(self, size: Pair, strides: Pair) -> tuple[Pair, Pair]:
        """Return the padding that TFLite's SAME means for an image of that size."""
        return (self._same(0, size[0], strides[0]), self._same(1, size[1], strides[1]))

    def _same(self, place: int, size: int, stride: int) -> Pair:
        reach = (self.kernel[place] - 1) * self.dilations[place] + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """One operation with its window on its image: what it takes to write it."""

    operation: Operation
    lowering: Lowering
    image: Value
    window: Window

    @classmethod
    def of(cls, operation: Operation, lowering: Lowering, *, kernel: Sequence[int]) -> Slide:
        """Return the operation's window, of that kernel size, on its first input."""
        image = lowering.image(operation)
        window = _window(operation, lowering, kernel=kernel, size=_size(image))
        return cls(operation=operation, lowering=lowering, image=image, window=window)

    def is_same(self, strides: Pair) -> bool:
        """Return whether the padding is what TFLite's SAME means at those strides."""
        return self.window.pads == self.window.same_pads(_size(self.image), strides)

    def padded(self) -> tuple[int, int]:
        """Return TFLite's padding and the tensor to slide over: by PAD where neither SAME nor VALID fits."""
        if self.window.is_unpadded:
            return _VALID, self.image.tensor
        if self.is_same(self.window.strides):
            return _SAME, self.image.tensor
        return _VALID, self.zeros_around()

    def zeros_around(self) -> int:
        """Append a PAD with zeros; return the padded tensor."""
        pads: NDArray[np.int32] = np.asarray([(0, 0), *self.window.pads, (0, 0)], dtype=np.int32)
        amounts = self.lowering.writer.add_constant("pads", pads)
        stored = tuple(int(size) for size in np.asarray(self.image.stored_shape) + pads.sum(axis=1))
        return self.lowering.step(
            "PAD",
            (self.image.tensor, amounts),
            f"{self.operation.output}/padded",
            shape=stored,
            options=self.lowering.schema.PadOptionsT(),
        )

    def define(self, code: str, inputs: Sequence[int], *, options: object, version: int = 1) -> None:
        """Append the operator and record its result, which has the image's order of axes."""
        self.lowering.write(self.operation, code, inputs, axes=self.image.axes, options=options, version=version)


def lower_convolution(operation: Operation, lowering: Lowering) -> None:
    """Write Conv as CONV_2D, or DEPTHWISE_CONV_2D where each channel has its own kernels."""
    kernel = lowering.constant(operation, 1)
    slide = Slide.of(operation, lowering, kernel=kernel.shape[2:])
    if kernel.ndim == 3:
        kernel = kernel[:, :, np.newaxis, :]
    bias = lowering.constant(operation, 2) if operation.input(2) else np.zeros(len(kernel), dtype=np.float32)
    channels, groups = slide.image.stored_shape[3], operation.integer("group", 1)
    if groups not in (1, channels):
        raise lowering.refusal(
            operation, f"it has {groups} groups of {channels} channels; 1 and {channels} are written"
        )
    padding, tensor = slide.padded()
    if groups == 1:
        code, options, version = "CONV_2D", lowering.schema.Conv2DOptionsT(), 1
        stored_kernel = kernel.transpose(0, 2, 3, 1)
    else:
        code, options, version = "DEPTHWISE_CONV_2D", lowering.schema.DepthwiseConv2DOptionsT(), 2
        options.depthMultiplier = len(kernel) // channels
        stored_kernel = kernel.transpose(1, 2, 3, 0)
    options.padding = padding
    options.strideH, options.strideW = slide.window.strides
    options.dilationHFactor, options.dilationWFactor = slide.window.dilations
    options.fusedActivationFunction = operation.activation.value
    inputs = (
        tensor,
        lowering.writer.add_constant(f"{operation.output}/kernel", stored_kernel),
        lowering.writer.add_constant(f"{operation.output}/bias", bias),
    )
    slide.define(code, inputs, options=options, version=version)


def lower_max_pool(operation: Operation, lowering: Lowering) -> None:
    """Write MaxPool; padding other than SAME only where it can't win (no negative input) or can be split off."""
    slide = _pool_slide(operation, lowering)
    zeros_lose = lowering.is_non_negative(operation.input(0))
    if slide.window.is_unpadded or slide.is_same(slide.window.strides):
        _pool("MAX_POOL_2D", slide, at=slide.padded())
    elif zeros_lose:
        _pool("MAX_POOL_2D", slide, at=(_VALID, slide.zeros_around()))
    else:
        _pool_in_two("MAX_POOL_2D", slide)


def lower_average_pool(operation: Operation, lowering: Lowering) -> None:
    """Write AveragePool; TFLite's SAME leaves the padding out of the average, PAD counts it in."""
    slide = _pool_slide(operation, lowering)
    counted = bool(operation.integer("count_include_pad", 0))
    if slide.window.is_unpadded or (not counted and slide.is_same(slide.window.strides)):
        _pool("AVERAGE_POOL_2D", slide, at=slide.padded())
    elif counted and operation.integer("ceil_mode", 0):
        raise lowering.refusal(operation, "it counts its padding but not what ceil_mode adds; pad with Pad first")
    elif counted:
        _pool("AVERAGE_POOL_2D", slide, at=(_VALID, slide.zeros_around()))
    else:
        _pool_in_two("AVERAGE_POOL_2D", slide)


def _pool_slide(operation: Operation, lowering: Lowering) -> Slide:
    slide = Slide.of(operation, lowering, kernel=operation.integers("kernel_shape", ()))
    if slide.window.dilations != (1, 1):
        raise lowering.refusal(operation, f"it has dilations {slide.window.dilations}; only 1 is written")
    return slide


def _pool(code: str, slide: Slide, *, at: tuple[int, int]) -> None:
    """Write the pool with that padding on that tensor."""
    padding, tensor = at
    options = _pool_options(slide, kernel=slide.window.kernel, strides=slide.window.strides, padding=padding)
    options.fusedActivationFunction = slide.operation.activation.value
    slide.define(code, (tensor,), options=options)


def _pool_in_two(code: str, slide: Slide) -> None:
    """Pool at every place, where the padding is SAME; then keep each stride-th by a pool of one pixel."""
    if not slide.is_same((1, 1)):
        reason = f"its padding {slide.window.pads} can't be told from values; pad with Pad first"
        raise slide.lowering.refusal(slide.operation, reason)
    options = _pool_options(slide, kernel=slide.window.kernel, strides=(1, 1), padding=_SAME)
    options.fusedActivationFunction = slide.operation.activation.value
    name = f"{slide.operation.output}/every"
    every = slide.lowering.step(code, (slide.image.tensor,), name, shape=slide.image.stored_shape, options=options)
    chosen = _pool_options(slide, kernel=(1, 1), strides=slide.window.strides, padding=_VALID)
    slide.define("MAX_POOL_2D", (every,), options=chosen)


def _pool_options(slide: Slide, *, kernel: Pair, strides: Pair, padding: int) -> Any:
    options = slide.lowering.schema.Pool2DOptionsT()
    options.padding = padding
    options.filterHeight, options.filterWidth = kernel
    options.strideH, options.strideW = strides
    return options


def _size(image: Value) -> Pair:
    """Return height and width."""
    return image.stored_shape[1], image.stored_shape[2]


def _window(operation: Operation, lowering: Lowering, *, kernel: Sequence[int], size: Pair) -> Window:
    """Return the window that the attributes speak of; a line gets height 1."""
    rank = len(kernel)
    strides, dilations = (operation.integers(name, (1,) * rank) for name in ("strides", "dilations"))
    pads = operation.integers("pads", (0,) * 2 * rank)
    pairs = tuple(zip(pads[:rank], pads[rank:], strict=True))
    if rank == 1:
        kernel, strides, dilations, pairs = (1, *kernel), (1, *strides), (1, *dilations), ((0, 0), *pairs)
    window = Window(kernel=_pair(kernel), strides=_pair(strides), dilations=_pair(dilations), pads=(pairs[0], pairs[1]))
    automatic = operation.text("auto_pad", "NOTSET")
    if automatic == "SAME_UPPER":
        pairs = window.same_pads(size, window.strides)
    elif automatic == "SAME_LOWER":
        top, left = window.same_pads(size, window.strides)
        pairs = (top[::-1], left[::-1])
    elif operation.integer("ceil_mode", 0):
        result = arranged(lowering.shape(operation, operation.output), (0, 2, 3, 1) if rank == 2 else (0, -1, 2, 1))
        pairs = tuple(_reaching(window, place, size=size[place], windows=result[1 + place]) for place in (0, 1))
        if any((result[1 + place] - 1) * window.strides[place] >= size[place] + pairs[place][0] for place in (0, 1)):
            raise lowering.refusal(operation, "ceil_mode adds a window in the padding alone, where runtimes disagree")
    return Window(kernel=window.kernel, strides=window.strides, dilations=window.dilations, pads=(pairs[0], pairs[1]))


def _reaching(window: Window, place: int, *, size: int, windows: int) -> Pair:
    """Return the padding of one axis, with as much more at its end as that many windows need."""
    before, after = window.pads[place]
    needed = (windows - 1) * window.strides[place] + (window.kernel[place] - 1) * window.dilations[place] + 1
    return before, max(after, needed - size - before)


def _pair(numbers: Sequence[int]) -> Pair:
    return int(numbers[0]), int(numbers[1])


ENTRIES: Mapping[str, Entry] = {
    "AveragePool": Entry(lower=lower_average_pool, writes=("AVERAGE_POOL_2D",), image=True, limits="no dilations"),
    "Conv": Entry(
        lower=lower_convolution,
        writes=("CONV_2D", "DEPTHWISE_CONV_2D"),
        image=True,
        limits="constant kernel; 1-D and 2-D; one group, or as many as channels",
    ),
    "MaxPool": Entry(lower=lower_max_pool, writes=("MAX_POOL_2D",), image=True, limits="no dilations"),
}
