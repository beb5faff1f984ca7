"""The part of a model card that the optimizer knows: what was done to the model, and what that cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from contracts.artifact.card import Loss, ModelCard, Statement

if TYPE_CHECKING:
    from contracts.manifest import ArtifactManifest
    from optimizer.model import Model
    from optimizer.search.candidate import Candidate


def card_of(
    candidate: Candidate, manifest: ArtifactManifest, statement: Statement, *, original: Model | None = None
) -> ModelCard:
    """Return the card: what the owners say, and the comparison with the original that the choice was made by."""
    fidelity = candidate.fidelity
    return ModelCard(
        release=f"{manifest.model}@{manifest.version}",
        statement=statement,
        loss=Loss(
            metric=fidelity.metric,
            n=fidelity.n,
            original=_figure(fidelity.original),
            value=_figure(fidelity.value),
            drop=_figure(fidelity.drop.value),
            drop_low=_figure(fidelity.drop.low),
            drop_high=_figure(fidelity.drop.high),
        ),
        changed=manifest.lineage.passes,
        original_size_bytes=original.size_bytes if original is not None else None,
        size_bytes=candidate.size_bytes,
        others={name: float(value) for name, value in sorted(fidelity.others.items()) if math.isfinite(value)},
    )


def _figure(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
