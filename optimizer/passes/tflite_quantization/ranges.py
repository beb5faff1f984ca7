"""From our statistics to what ai-edge-quantizer wants to know of each tensor: arrays of its smallest and largest value.

The tool's own calibration takes a moving average over rows, which cuts off what rows late in the file have in common,
and keeps the values of all tensors of a row; ours is one streamed look that any pass can read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from optimizer.calibration.ranges import CalibrationMethod, range_of
from optimizer.errors import PassFailed
from optimizer.formats.tflite_emitter.file import tensor_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.calibration.statistics import Statistics

Ranges: TypeAlias = "dict[str, dict[str, NDArray[np.float32]]]"
"""``min`` and ``max`` of each tensor by name, shape (1, ..., 1) of the tensor's rank."""


_LARGEST: Final = 1e18
"""LiteRT ends the process over factors between scales that its fixed point cannot hold."""


def ranges_of(file: Any, statistics: Statistics, method: CalibrationMethod, *, percentile: float, name: str) -> Ranges:
    """Return the range of each tensor of the file's main graph that was seen.

    Args:
        file: the float file, as the schema's objects.
        statistics: what its tensors looked like.
        method: how a range is read from them.
        percentile: what ``CalibrationMethod.PERCENTILE`` keeps, percent.
        name: the model's, for messages.

    Raises:
        PassFailed: a tensor took values too large for any scale.
    """
    found: Ranges = {}
    for tensor, known in zip(file.subgraphs[0].tensors, tensor_names(file), strict=True):
        seen = statistics.tensors.get(known)
        if seen is None:
            continue
        low, high = range_of(seen, method, percentile=percentile)
        if not max(-low, high) < _LARGEST:
            raise PassFailed(
                f"quantize-tflite: tensor {known!r} of {name} reached {low:g} to {high:g} on the calibration rows, "
                "which no integers can tell apart; write its mask as -inf, find the row, or name the tensor in keep"
            )
        rank = (1,) * len(tensor.shape if tensor.shape is not None else ())
        found[known] = {"min": np.full(rank, low, np.float32), "max": np.full(rank, high, np.float32)}
    return found
