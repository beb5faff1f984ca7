"""How large the cell states of a file's LSTMs become over calibration rows: no tensor of the file shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.quiet import quiet
from optimizer.passes.integer_lstm.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cell_peaks(content: bytes, layers: Sequence[Layer], rows: Mapping[str, NDArray[np.generic]]) -> dict[int, float]:
    """Return the largest absolute value of each layer's cell state, by the place of the layer's output.

    Args:
        content: the float file.
        layers: its LSTMs.
        rows: calibration rows by input name, shape (n, ...), at least one.
    """
    sources = _sources(content, [layer.source for layer in layers], rows)
    return {
        layer.output: _peak(layer, np.concatenate(sources[layer.source], axis=1 if layer.time_major else 0))
        for layer in layers
    }


def _sources(
    content: bytes, places: Sequence[int], rows: Mapping[str, NDArray[np.generic]]
) -> dict[int, list[NDArray[np.float32]]]:
    """Return what each of the tensors holds for row after row, as many at a time as the file takes."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found: dict[int, list[NDArray[np.float32]]] = {place: [] for place in places}
    with quiet():
        interpreter: Any = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        ends = interpreter.get_input_details()
        calls = min(len(rows[details["name"]]) // int(details["shape"][0]) for details in ends)
        for call in range(calls):
            interpreter.reset_all_variables()
            for details in ends:
                size = int(details["shape"][0])
                taken = rows[details["name"]][call * size : (call + 1) * size]
                interpreter.set_tensor(details["index"], taken.astype(details["dtype"], copy=False))
            interpreter.invoke()
            for place in places:
                found[place].append(interpreter.get_tensor(place).copy())
    return found


def _peak(layer: Layer, sequences: NDArray[np.float32]) -> float:
    """Run the cell over sequences (N, T, I), or time first; return the largest absolute state."""
    steps = sequences if layer.time_major else np.moveaxis(sequences, 1, 0)
    h = c = np.zeros((steps.shape[1], layer.hidden), dtype=np.float64)
    peak = 0.0
    for step in steps:
        given = [
            step @ weights.T + h @ recurrence.T + bias
            for weights, recurrence, bias in zip(layer.weights, layer.recurrence, layer.biases, strict=True)
        ]
        c = _sigmoid(given[1]) * c + _sigmoid(given[0]) * np.tanh(given[2])
        c = np.clip(c, -layer.clip, layer.clip) if layer.clip else c
        h = _sigmoid(given[3]) * np.tanh(c)
        peak = max(peak, float(np.abs(c).max()))
    return peak


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.5 + 0.5 * np.tanh(0.5 * values)
    return found
