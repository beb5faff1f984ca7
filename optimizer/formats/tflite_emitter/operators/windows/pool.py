"""Pools: the largest, the mean or a norm of each window; normalization across neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.graph import Activation
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.windows.window import SAME, VALID, Pair, Slide, pad_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering

LOWEST = float(np.finfo(np.float32).min)
"""What pads a pool for the largest: it never wins, and ai-edge-quantizer knows it for padding."""


def lower_max_pool(operation: Operation, lowering: Lowering) -> None:
    """Write MaxPool; where neither SAME nor VALID fits, the image is padded with the lowest number."""
    if len([name for name in operation.outputs if name]) > 1:
        raise lowering.refusal(operation, "its second output, the places of the largest, is not written; drop it")
    _require_float(operation, lowering)
    slide = Slide.of(operation, lowering, kernel=operation.integers("kernel_shape", ()))
    if slide.window.dilations != (1, 1):
        _dilated("MAX_POOL_2D", slide, fill=LOWEST)
        return
    padding, tensor = SAME, slide.image.tensor
    if not slide.is_same(slide.window.strides) or slide.window.is_unpadded:
        padding = VALID
    if padding == VALID and not slide.window.is_unpadded:
        tensor = pad_image(slide, tensor, slide.window.pads, fill=LOWEST)
    slide.define("MAX_POOL_2D", (tensor,), options=_options(slide, padding, operation.activation))


def lower_average_pool(operation: Operation, lowering: Lowering) -> None:
    """Write AveragePool: TFLite's SAME leaves the padding out of the mean, PAD counts it in.

    What lies between is a mean over the padded image, times (pixels of the window / pixels that ONNX counts).
    """
    slide = Slide.of(operation, lowering, kernel=operation.integers("kernel_shape", ()))
    factor = _uncounted(slide)
    plain = slide.window.dilations == (1, 1)
    if plain and not _counts_padding(slide) and (slide.window.is_unpadded or slide.is_same(slide.window.strides)):
        padding, _ = slide.padded()
        options = _options(slide, padding, operation.activation)
        slide.define("AVERAGE_POOL_2D", (slide.image.tensor,), options=options)
    elif factor is None and not plain:
        _dilated("AVERAGE_POOL_2D", slide)
    elif factor is None:
        slide.define("AVERAGE_POOL_2D", (_padded(slide),), options=_options(slide, VALID, operation.activation))
    else:
        mean = _windows(slide, "AVERAGE_POOL_2D", slide.image.tensor)
        _scaled(slide, mean, factor, last=True)


def lower_norm_pool(operation: Operation, lowering: Lowering) -> None:
    """Write LpPool: the square norm as L2_POOL_2D, others as the mean of powers."""
    slide = Slide.of(operation, lowering, kernel=operation.integers("kernel_shape", ()))
    pixels = np.asarray(slide.window.kernel[0] * slide.window.kernel[1], dtype=np.float64)
    power = operation.number("p", 2)
    if power == 2 and slide.window.dilations == (1, 1):
        mean = slide.step(
            "L2_POOL_2D", (_padded(slide),), "mean", size=slide.result_size, options=_options(slide, VALID)
        )
        _scaled(slide, mean, np.sqrt(pixels), last=True)
        return
    raised = slide.step("ABS", (slide.image.tensor,), "magnitude", size=slide.size)
    if power != 1:
        raised = slide.step("POW", (raised, _number(slide, power)), "raised", size=slide.size)
    mean = _windows(slide, "AVERAGE_POOL_2D", raised)
    total = _scaled(slide, mean, pixels, last=power == 1)
    if power != 1:
        slide.define("POW", (total, _number(slide, 1 / power)), options=lowering.schema.PowOptionsT())


def lower_local_response(operation: Operation, lowering: Lowering) -> None:
    """Write LRN, which normalizes over neighbouring channels, as LOCAL_RESPONSE_NORMALIZATION."""
    image, size = lowering.image(operation), operation.integer("size", 1)
    options = lowering.schema.LocalResponseNormalizationOptionsT()
    options.radius, options.bias = size // 2, operation.number("bias", 1.0)
    options.alpha, options.beta = operation.number("alpha", 1e-4) / size, operation.number("beta", 0.75)
    lowering.write(operation, "LOCAL_RESPONSE_NORMALIZATION", (image.tensor,), axes=image.axes, options=options)


def _require_float(operation: Operation, lowering: Lowering) -> None:
    element = lowering.value(operation.input(0)).element
    if element != np.float32:
        raise lowering.refusal(operation, f"its input is {element}; pools of float32 are written: cast it before")


def _counts_padding(slide: Slide) -> bool:
    return bool(slide.operation.integer("count_include_pad", 0))


def _uncounted(slide: Slide) -> NDArray[np.float64] | None:
    """Return, for each window, its pixels over those that ONNX counts, shape (h, w, 1); None where that is 1."""
    counts = []
    for place in (0, 1):
        before, after = slide.counted[place] if _counts_padding(slide) else (0, 0)
        high = slide.size[place] + after
        counts.append(slide.window.taps(place, slide.result_size[place], low=-before, high=high))
    counted = np.outer(counts[0], counts[1])[:, :, np.newaxis]
    pixels = slide.window.kernel[0] * slide.window.kernel[1]
    return None if bool((counted == pixels).all()) else pixels / counted


def _padded(slide: Slide) -> int:
    """Return the image with zeros around it, where it needs them."""
    unpadded = slide.window.is_unpadded
    return slide.image.tensor if unpadded else pad_image(slide, slide.image.tensor, slide.window.pads)


def _windows(slide: Slide, code: str, tensor: int) -> int:
    """Append a pool over the tensor, padded with zeros, each window whole; return its tensor."""
    if slide.window.dilations != (1, 1):
        return _spread(slide, code, tensor)
    padded = tensor if slide.window.is_unpadded else pad_image(slide, tensor, slide.window.pads)
    return slide.step(code, (padded,), "windows", size=slide.result_size, options=_options(slide, VALID))


def _scaled(slide: Slide, tensor: int, factor: NDArray[np.float64], *, last: bool) -> int:
    """Append the product with a constant; the last operator gives the operation's result."""
    options = slide.lowering.schema.MulOptionsT()
    options.fusedActivationFunction = slide.operation.activation.value if last else 0
    constant = slide.lowering.writer.add_constant(f"{slide.operation.output}/factor", factor.astype(np.float32))
    if last:
        slide.define("MUL", (tensor, constant), options=options)
        return -1
    return slide.step("MUL", (tensor, constant), "scaled", size=slide.result_size, options=options)


def _number(slide: Slide, number: float) -> int:
    constant = np.asarray(number, dtype=np.float32)
    return slide.lowering.writer.add_constant(f"{slide.operation.output}/exponent", constant)


def _dilated(code: str, slide: Slide, *, fill: float = 0.0) -> None:
    """Write a pool whose windows have gaps."""
    if slide.operation.activation is Activation.NONE:
        _spread(slide, code, slide.image.tensor, fill=fill, last=True)
        return
    _scaled(slide, _spread(slide, code, slide.image.tensor, fill=fill), np.ones(1), last=True)


def _spread(slide: Slide, code: str, tensor: int, *, fill: float = 0.0, last: bool = False) -> int:
    """Append a pool with gaps: each phase of the image is an image of its own (SPACE_TO_BATCH_ND) for a plain pool."""
    window, schema, lowering = slide.window, slide.lowering.schema, slide.lowering
    blocks = window.dilations
    whole = [slide.size[place] + sum(window.pads[place]) for place in (0, 1)]
    extra = [-whole[place] % blocks[place] for place in (0, 1)]
    pads = [(window.pads[place][0], window.pads[place][1] + extra[place]) for place in (0, 1)]
    if pads != [(0, 0), (0, 0)]:
        tensor = pad_image(slide, tensor, (pads[0], pads[1]), fill=fill)
    phase = [(whole[place] + extra[place]) // blocks[place] for place in (0, 1)]
    count, channels = blocks[0] * blocks[1], slide.image.stored_shape[3]
    block = lowering.numbers(blocks, "block")
    shape = (count * slide.image.stored_shape[0], phase[0], phase[1], channels)
    name = slide.operation.output
    inputs = (tensor, block, lowering.numbers(np.zeros((2, 2)), "pads"))
    options = schema.SpaceToBatchNDOptionsT()
    tensor = lowering.step("SPACE_TO_BATCH_ND", inputs, f"{name}/phases", shape=shape, options=options)
    pooled = [phase[place] - window.kernel[place] + 1 for place in (0, 1)]
    options = _pool_options(slide, padding=VALID, strides=(1, 1))
    shape = (shape[0], pooled[0], pooled[1], channels)
    tensor = lowering.step(code, (tensor,), f"{name}/pooled", shape=shape, options=options)
    crops = lowering.numbers(np.asarray([(0, extra[0]), (0, extra[1])]), "crops")
    every = (whole[0] - window.reach[0] + 1, whole[1] - window.reach[1] + 1)
    options = schema.BatchToSpaceNDOptionsT()
    if window.strides == (1, 1) and last:
        slide.define("BATCH_TO_SPACE_ND", (tensor, block, crops), options=options)
        return -1
    tensor = slide.step("BATCH_TO_SPACE_ND", (tensor, block, crops), "every", size=every, options=options)
    if window.strides == (1, 1):
        return tensor
    options = _pool_options(slide, padding=VALID, strides=window.strides, kernel=(1, 1))
    if last:
        slide.define("MAX_POOL_2D", (tensor,), options=options)
        return -1
    return slide.step("MAX_POOL_2D", (tensor,), "chosen", size=slide.result_size, options=options)


def _options(slide: Slide, padding: int, activation: Activation = Activation.NONE) -> Any:
    return _pool_options(slide, padding=padding, strides=slide.window.strides, activation=activation)


def _pool_options(
    slide: Slide,
    *,
    padding: int,
    strides: Pair,
    kernel: Pair | None = None,
    activation: Activation = Activation.NONE,
) -> Any:
    options = slide.lowering.schema.Pool2DOptionsT()
    options.padding = padding
    options.filterHeight, options.filterWidth = kernel or slide.window.kernel
    options.strideH, options.strideW = strides
    options.fusedActivationFunction = activation.value
    return options


ENTRIES: Mapping[str, Entry] = {
    "AveragePool": Entry(
        lower=lower_average_pool, writes=("AVERAGE_POOL_2D", "PAD", "MUL", "SPACE_TO_BATCH_ND"), image=True
    ),
    "LRN": Entry(lower=lower_local_response, writes=("LOCAL_RESPONSE_NORMALIZATION",), image=True),
    "LpPool": Entry(lower=lower_norm_pool, writes=("L2_POOL_2D", "AVERAGE_POOL_2D", "POW", "MUL"), image=True),
    "MaxPool": Entry(
        lower=lower_max_pool,
        writes=("MAX_POOL_2D", "PADV2", "SPACE_TO_BATCH_ND"),
        image=True,
        limits="floats; without the places of the largest",
    ),
}
