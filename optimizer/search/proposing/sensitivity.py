"""How much each layer's quantization alone moves the answers: one layer at a time in int8, all others float."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.passes import QuantizeStatic
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure
from optimizer.search.making import Attempt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.search.known import Tried
    from optimizer.search.workbench import Workbench

MOST_LAYERS: Final = 80
"""A network of more layers is not taken apart: making one model for each would take longer than the search."""
_MOST_ROWS: Final = 64
_LEAST_ROWS: Final = 8
_PATIENCE_MS: Final = 20_000.0
"""About how long all runs together may take; fewer rows are looked at where a run is slow."""


def layer_sensitivity(
    float_: Tried, layers: tuple[str, ...], step: QuantizeStatic, workbench: Workbench
) -> tuple[LayerSensitivity, ...]:
    """Return the sensitivity of each layer that can be quantized alone, in the file's order.

    Args:
        float_: the float attempt whose layers they are.
        layers: the tensors that they give.
        step: how they are quantized.
        workbench: makes and runs the models.
    """
    each_ms = float_.figures.latency.p50_ms * max(len(layers), 1)
    rows = int(np.clip(_PATIENCE_MS / each_ms, _LEAST_ROWS, _MOST_ROWS))
    reference = workbench.some_answers(float_.product, rows)
    found = []
    for layer in layers:
        alone = dataclasses.replace(step, first=layer, last=layer, keep=())
        label = f"only {layer} in int8"
        product = workbench.make(Attempt(label=label, pipeline=Pipeline(*float_.attempt.pipeline.steps, alone)))
        if not isinstance(product, Failure):
            error = _relative_error(workbench.some_answers(product, rows), reference)
            found.append(LayerSensitivity(layer=layer, error=error, n=len(next(iter(reference.values())))))
    return tuple(found)


def _relative_error(answers: Mapping[str, NDArray[np.float32]], reference: Mapping[str, NDArray[np.float32]]) -> float:
    """Return the root mean square of the first output's difference, relative to that of the output."""
    name = next(iter(reference))
    exact = reference[name].astype(np.float64)
    spread = float(np.sqrt((exact**2).mean())) or 1.0
    return float(np.sqrt(((answers[name] - exact) ** 2).mean())) / spread
