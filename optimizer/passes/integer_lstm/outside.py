"""What quantize-tflite does about LSTMs: before ai-edge-quantizer sees the file, and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.file import tensor_names, write_file
from optimizer.passes.integer_lstm.clearing import begins_with_zeros, drop_clearing, setting
from optimizer.passes.integer_lstm.integers import make_integer
from optimizer.passes.integer_lstm.layers import float_layers
from optimizer.passes.integer_lstm.peaks import cell_peaks
from optimizer.passes.tflite_quantization.compact import drop_unused_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS_BELOW = 128
_STEPS_ABOVE = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is to be known of a file's recurrent operators when its other ones become integers.

    ``peaks`` is the largest absolute value of each cell state of the LSTMs that become integers, by the name of the
    layer's output; ``cleared`` names the outputs of those whose states began with zeros. ``kept`` names what sets the
    states of the others: it has to stay float like them.
    """

    peaks: Mapping[str, float]
    cleared: frozenset[str]
    kept: tuple[str, ...]


UNTOUCHED: Final = Prepared(peaks={}, cleared=frozenset(), kept=())
"""What is known where activations stay float: the runtime keeps such files right by itself."""


def prepare(file: Any, rows: Mapping[str, NDArray[np.generic]], *, in_integers: bool) -> Prepared:
    """Run the LSTMs' cells over the rows, and take out what clears their states; the file is changed in place.

    Args:
        file: the float file, as the schema's objects, each tensor with a name of its own.
        rows: calibration rows by input name, shape (n, ...).
        in_integers: whether LSTMs become integers; otherwise they stay float.

    Raises:
        ValueError: there is an LSTM, and no row.
    """
    layers = [layer for layer in float_layers(file) if in_integers and begins_with_zeros(file, layer)]
    names = tensor_names(file)
    peaks: Mapping[int, float] = {}
    cleared: frozenset[int] = frozenset()
    if layers:
        if not rows or not min(len(values) for values in rows.values()):
            raise ValueError("an LSTM in integers needs at least one calibration row")
        peaks = cell_peaks(write_file(file), layers, rows)
        cleared = drop_clearing(file, layers)
    variables = {place for place, tensor in enumerate(file.subgraphs[0].tensors) if tensor.isVariable}
    return Prepared(
        peaks={names[place]: peak for place, peak in peaks.items()},
        cleared=frozenset(names[place] for place in cleared),
        kept=tuple(names[int(place)] for one in setting(file, variables) for place in one.outputs),
    )


def with_even_ranges(
    ranges: Mapping[str, Mapping[str, NDArray[np.float32]]], prepared: Prepared
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the ranges, those of LSTM outputs such that zero is stored as 0: what a state begins with."""
    found = {name: dict(range_) for name, range_ in ranges.items()}
    for name in prepared.peaks:
        if name in found:
            step = np.maximum(-found[name]["min"] / _STEPS_BELOW, found[name]["max"] / _STEPS_ABOVE)
            found[name] = {**found[name], "min": -_STEPS_BELOW * step, "max": _STEPS_ABOVE * step}
    return found


def finish(file: Any, prepared: Prepared, ranges: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> None:
    """Write the LSTMs of a file whose other operators are integers in integers too; it is changed in place.

    ``ranges`` are those that the others were made with.
    """
    if prepared.peaks:
        scales = {name: float(np.max(ranges[name]["max"])) / _STEPS_ABOVE for name in prepared.peaks if name in ranges}
        make_integer(file, scales=scales, peaks=prepared.peaks, cleared=prepared.cleared)
        drop_unused_tensors(file)
