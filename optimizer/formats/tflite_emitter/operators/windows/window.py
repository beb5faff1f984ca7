"""Where a window lies on its image: kernel, strides, dilations and padding of height and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.formats.tflite_emitter.layout import Value, arranged, channel_last

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
SAME, VALID = 0, 1
"""TFLite's own numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window over height and width: ``pads`` are (before, after) for each of the two."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pads

    @property
    def is_unpadded(self) -> bool:
        """Whether it stays inside the image."""
        return self.pads == ((0, 0), (0, 0))

    @property
    def reach(self) -> Pair:
        """Pixels from the first to the last that one window touches."""
        return (self.kernel[0] - 1) * self.dilations[0] + 1, (self.kernel[1] - 1) * self.dilations[1] + 1

    def same_pads(self, size: Pair, strides: Pair) -> Pads:
        """Return the padding that TFLite's SAME means for an image of that size."""
        return (self._same(0, size[0], strides[0]), self._same(1, size[1], strides[1]))

    def _same(self, place: int, size: int, stride: int) -> Pair:
        total = max((-(-size // stride) - 1) * stride + self.reach[place] - size, 0)
        return total // 2, total - total // 2

    def taps(self, place: int, windows: int, *, low: int, high: int) -> NDArray[np.int64]:
        """Return for each of the windows along an axis how many pixels of low..high (exclusive) it touches."""
        starts = np.arange(windows) * self.strides[place] - self.pads[place][0]
        touched = starts[:, np.newaxis] + np.arange(self.kernel[place]) * self.dilations[place]
        return np.asarray(((touched >= low) & (touched < high)).sum(axis=1), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """One operation with its window on its image: what it takes to write it.

    ``counted`` is the padding that the model itself asks for; the window's own may be longer at its end, where
    ceil_mode adds to it.
    """

    operation: Operation
    lowering: Lowering
    image: Value
    window: Window
    counted: Pads

    @classmethod
    def of(cls, operation: Operation, lowering: Lowering, *, kernel: Sequence[int]) -> Slide:
        """Return the operation's window, of that kernel size, on its first input."""
        image = lowering.image(operation)
        window = _window(operation, kernel=kernel, size=size_of(image))
        reaching = _ceiled(operation, lowering, window, size=size_of(image))
        return cls(operation=operation, lowering=lowering, image=image, window=reaching, counted=window.pads)

    @property
    def size(self) -> Pair:
        """Height and width of the image."""
        return size_of(self.image)

    @property
    def result_size(self) -> Pair:
        """Height and width of the result."""
        stored = arranged(self.lowering.result(self.operation).shape, self.image.axes)
        return stored[1], stored[2]

    def is_same(self, strides: Pair) -> bool:
        """Return whether the padding is what TFLite's SAME means at those strides."""
        return self.window.pads == self.window.same_pads(self.size, strides)

    def padded(self) -> tuple[int, int]:
        """Return TFLite's padding and the tensor to slide over: by PAD where neither SAME nor VALID fits."""
        if self.window.is_unpadded:
            return VALID, self.image.tensor
        if self.is_same(self.window.strides):
            return SAME, self.image.tensor
        return VALID, pad_image(self, self.image.tensor, self.window.pads)

    def define(self, code: str, inputs: Sequence[int], *, options: object, version: int = 1) -> None:
        """Append the operator and record its result, which has the image's order of axes."""
        self.lowering.write(self.operation, code, inputs, axes=self.image.axes, options=options, version=version)

    def step(self, code: str, inputs: Sequence[int], word: str, *, size: Pair, options: object = None) -> int:
        """Append an operator before the last one, giving an image of that size; return its tensor."""
        name, shape = f"{self.operation.output}/{word}", (self.image.stored_shape[0], *size, self.image.stored_shape[3])
        return self.lowering.step(code, inputs, name, shape=shape, options=options)


def pad_image(slide: Slide, tensor: int, pads: Pads, *, fill: float = 0.0) -> int:
    """Append a PAD around an image of the slide's size; return the padded tensor.

    The number that fills is of rank 0: ai-edge-quantizer takes no other.
    """
    lowering = slide.lowering
    amounts = lowering.writer.add_constant("pads", np.asarray([(0, 0), *pads, (0, 0)], dtype=np.int32))
    size = slide.size[0] + sum(pads[0]), slide.size[1] + sum(pads[1])
    if not fill:
        return slide.step("PAD", (tensor, amounts), "padded", size=size, options=lowering.schema.PadOptionsT())
    number = lowering.writer.add_constant(f"{slide.operation.output}/fill", np.asarray(fill, dtype=np.float32))
    options = lowering.schema.PadV2OptionsT()
    return slide.step("PADV2", (tensor, amounts, number), "padded", size=size, options=options)


def size_of(image: Value) -> Pair:
    """Return height and width."""
    return image.stored_shape[1], image.stored_shape[2]


def pairs_of(operation: Operation, name: str, rank: int, *, default: int, line: int) -> Pair:
    """Return an attribute of height and width; a line has that number for its height."""
    given = operation.integers(name, (default,) * rank)
    return (line, given[0]) if rank == 1 else (given[0], given[1])


def _window(operation: Operation, *, kernel: Sequence[int], size: Pair) -> Window:
    """Return the window that the attributes speak of; a line gets height 1."""
    rank = len(kernel)
    strides = pairs_of(operation, "strides", rank, default=1, line=1)
    dilations = pairs_of(operation, "dilations", rank, default=1, line=1)
    sizes = (1, int(kernel[0])) if rank == 1 else (int(kernel[0]), int(kernel[1]))
    automatic = operation.text("auto_pad", "NOTSET")
    given = operation.integers("pads", ()) if automatic == "NOTSET" else ()
    given = given or (0,) * 2 * rank
    pairs = [(0, 0)] * (2 - rank) + [(given[place], given[place + rank]) for place in range(rank)]
    window = Window(kernel=sizes, strides=strides, dilations=dilations, pads=(pairs[0], pairs[1]))
    if not automatic.startswith("SAME"):
        return window
    top, left = window.same_pads(size, strides)
    pads = (top, left) if automatic == "SAME_UPPER" else (top[::-1], left[::-1])
    return Window(kernel=sizes, strides=strides, dilations=dilations, pads=(_pair(pads[0]), _pair(pads[1])))


def _ceiled(operation: Operation, lowering: Lowering, window: Window, *, size: Pair) -> Window:
    """Return the window with the padding at its end that ceil_mode adds."""
    if not operation.integer("ceil_mode", 0) or operation.text("auto_pad", "NOTSET").startswith("SAME"):
        return window
    shape = lowering.result(operation).shape
    result = arranged(shape, channel_last(len(shape)))
    pads = [_reaching(window, place, size=size[place], windows=result[1 + place]) for place in (0, 1)]
    if any((result[1 + place] - 1) * window.strides[place] >= size[place] + pads[place][0] for place in (0, 1)):
        raise lowering.refusal(operation, "ceil_mode adds a window in the padding alone, where runtimes disagree")
    return Window(
        kernel=window.kernel, strides=window.strides, dilations=window.dilations, pads=(_pair(pads[0]), _pair(pads[1]))
    )


def _reaching(window: Window, place: int, *, size: int, windows: int) -> Pair:
    """Return the padding of one axis, with as much more at its end as that many windows need."""
    before, after = window.pads[place]
    needed = (windows - 1) * window.strides[place] + window.reach[place]
    return before, max(after, needed - size - before)


def _pair(numbers: Sequence[int]) -> Pair:
    return int(numbers[0]), int(numbers[1])
