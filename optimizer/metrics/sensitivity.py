"""How much one layer's quantization alone moves the answers: the value that the search fills and the report draws."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.metrics.interval import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSensitivity:
    """What happens when only this layer is quantized, on ``n`` rows.

    ``layer`` is the tensor it gives. ``error`` is how far the first output moves, 0 for not at all:
    1 - cosine, or the root mean square of the difference relative to that of the output. ``drop`` is
    that of the metric, a share; None where it was not taken.
    """

    layer: str
    error: float
    drop: Interval | None
    n: int
