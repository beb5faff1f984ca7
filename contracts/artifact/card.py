"""The model card: what people must know of a model before they use it, and what was measured of it.

Owners say what it is for, where it fails and what it learnt from (``Statement``); the optimizer adds what it did and
what that cost (``ModelCard``). A card is JSON in the member ``card``: canonical, so that equal cards are equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.artifact.documents import read_document, write_document


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStatement:
    """What the owners say of a data set; ``version`` is their name for this state of it."""

    description: str = ""
    source: str = ""
    version: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What only people can say; empty where nobody did. ``licence`` is an SPDX expression, as in ``Apache-2.0``."""

    intended_use: str = ""
    out_of_scope: str = ""
    limits: tuple[str, ...] = ()
    licence: str = ""
    owners: tuple[str, ...] = ()
    training_data: DataStatement = field(default_factory=DataStatement)
    evaluation_data: DataStatement = field(default_factory=DataStatement)

    @property
    def missing(self) -> tuple[str, ...]:
        """What an auditor would ask for and nobody said."""
        said: Mapping[str, object] = {
            "intended_use": self.intended_use,
            "limits": self.limits,
            "licence": self.licence,
            "owners": self.owners,
            "training_data": self.training_data.description,
            "evaluation_data": self.evaluation_data.description,
        }
        return tuple(name for name, value in said.items() if not value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What the optimizer's changes cost: a metric before and after, and the drop as a share with its 95 % interval.

    A drop above zero is a loss; the interval is of the paired difference over the same ``n`` rows. A figure that could
    not be taken is None.
    """

    metric: str
    n: int
    original: float | None
    value: float | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model's card; ``changed`` are the passes in order, ``others`` further figures of the comparison by name."""

    release: str
    statement: Statement
    loss: Loss
    changed: tuple[str, ...]
    original_size_bytes: int | None
    size_bytes: int
    others: Mapping[str, float]
    schema: int = 1


def write_card(card: ModelCard) -> bytes:
    """Return the bytes of the member ``card``."""
    return write_document(card)


def read_card(data: bytes) -> ModelCard:
    """Return the card that the member holds.

    Raises:
        ArtifactError: it holds none.
    """
    return read_document(ModelCard, data)
