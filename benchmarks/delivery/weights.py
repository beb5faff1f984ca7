"""Which share of a model's weights differs between two artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contracts.delta.elements import values_of
from contracts.delta.spans import Span, spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def share_changed(base: bytes, target: bytes) -> float:
    """Return the share, 0 to 1, over weights of equal name, type and shape; 1 where there is none such."""
    before, after = _weights(base), _weights(target)
    count = changed = 0
    for name, span in after.items():
        other = before.get(name)
        if other is not None and (other.kind, other.dims) == (span.kind, span.dims):
            old = values_of(base[other.start : other.end], other.kind)
            new = values_of(target[span.start : span.end], span.kind)
            count += span.count
            changed += int(np.count_nonzero(old != new))
    return changed / count if count else 1.0


def _weights(data: bytes) -> Mapping[str, Span]:
    return {span.name: span for span in spans_of(data) if len(span.dims) > 1}
