"""How much one layer's quantization alone moves the answers: the value that the search fills and the report draws."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSensitivity:
    """What happens when only this layer is quantized, on ``n`` rows.

    ``layer`` is the tensor it gives. ``error`` is how far the first output moves: the root mean square of the
    difference relative to that of the output, 0 for not at all.
    """

    layer: str
    error: float
    n: int
