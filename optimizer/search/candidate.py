"""What a plan makes, what judging adds to it, and what a search hands back.

``Product`` is a model with the account of how it was made; ``Candidate`` is a product that was
measured and judged against the budget; ``Failure`` is a pipeline that gave no product. ``Search``
holds them all: nothing that was tried is hidden.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contracts.ids import Digest
from contracts.preprocessing import Step
from contracts.tensors import TensorSpec
from device_profiles.profile import DeviceProfile
from optimizer.benchmark.operators import OperatorProfile
from optimizer.benchmark.timing import Timing
from optimizer.metrics.fidelity import Fidelity
from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.model import Format, Model
from optimizer.search.budget import Objective, OptimizeBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageStep:
    """One line of the account: a pass, spelt with its parameters, and what came out.

    ``seconds`` is how long the work took when it was done; ``from_store`` that it was not repeated.
    """

    text: str
    format: Format
    size_bytes: int
    digest: Digest
    seconds: float
    from_store: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A model and how it was made; ``tools`` maps distribution to version.

    ``inputs`` and ``outputs`` are what is served: the tensors of the model that the user gave, real
    values, a batch of any size. The file's own tensors pair with them by place.
    """

    label: str
    source: Digest
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    model: Model
    lineage: tuple[LineageStep, ...]
    tools: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A pipeline that gave no product: which step stopped it, and why, in words."""

    label: str
    step: str
    code: str
    cause: str


class Verdict(StrEnum):
    """What came of a candidate."""

    WINNER = "winner"
    """Holds every budget that can be decided here, and is best by the objective."""
    FRONT = "front"
    """Holds the budgets; no other is better in everything; not the best by the objective."""
    DOMINATED = "dominated"
    """Holds the budgets; another is at least as good in everything and better in something."""
    OVER_BUDGET = "over_budget"
    """Misses a budget."""
    UNFIT = "unfit"
    """The target cannot run it: not fully quantized where only full int8 runs, wrong format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A product and its figures, not judged yet.

    ``preprocessing`` is everything between what clients send and the file's own inputs: the user's
    steps, then those the passes added. ``latency`` is of one row at a time; it says itself where it was
    taken. ``beside`` is the original's, taken in the same run. ``memory_bytes`` is what loading and running it
    adds to a process.
    """

    product: Product
    preprocessing: tuple[Step, ...]
    fidelity: Fidelity
    latency: Timing
    beside: Timing
    memory_bytes: int

    @property
    def size_bytes(self) -> int:
        """Length of the model file."""
        return self.product.model.size_bytes

    @property
    def ratio(self) -> float:
        """Its median latency as a share of the original's."""
        return self.latency.p50_ms / self.beside.p50_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Measured):
    """A product, measured and judged; ``reason`` is a sentence: why it won, or why it lost."""

    verdict: Verdict
    reason: str

    @classmethod
    def of(cls, measured: Measured, verdict: Verdict, reason: str) -> Candidate:
        """Return the candidate that the judgement makes of what was measured."""
        figures = {item.name: getattr(measured, item.name) for item in dataclasses.fields(measured)}
        return cls(**figures, verdict=verdict, reason=reason)

    @property
    def label(self) -> str:
        """Short name in tables, as in ``onnx int8 static u8s8``."""
        return self.product.label

    @property
    def model(self) -> Model:
        """The model file."""
        return self.product.model

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What clients send, before preprocessing."""
        return self.product.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What clients get, after dequantization."""
        return self.product.outputs

    @property
    def lineage(self) -> tuple[LineageStep, ...]:
        """How it was made, first step first."""
        return self.product.lineage

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy on the holdout rows, 0 to 1; None where the data has no classes."""
        return self.fidelity.accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The outcome of ``optimize``: everything that was tried, and the choice.

    ``original`` is the user's model, measured in the same process as the candidates, behind the
    same preprocessing; it is never a candidate itself (its format may be none of the target's).
    ``winner`` is None where no candidate holds the budgets. ``data`` is the digest of the data set;
    ``machine`` says in words where every figure was taken. ``notes`` are sentences for the reader:
    what the figures can't decide. ``recipes`` spells, by label, the passes that made each candidate.
    ``sensitivity`` is what each layer does in int8 alone, ``profiles`` where the time of some candidates goes.
    ``pruning`` tells what was cut and why or why not, and how pruned candidates stand beside their dense controls.
    """

    original: Model
    original_fidelity: Fidelity
    original_latency: Timing
    target: DeviceProfile
    budget: OptimizeBudget
    objective: Objective
    candidates: tuple[Candidate, ...]
    failures: tuple[Failure, ...]
    data: Digest
    machine: str
    notes: tuple[str, ...]
    recipes: Mapping[str, str]
    sensitivity: tuple[LayerSensitivity, ...] = ()
    profiles: Mapping[str, OperatorProfile] = field(default_factory=dict)
    pruning: tuple[str, ...] = ()

    @property
    def winner(self) -> Candidate | None:
        """The candidate to ship, if any holds the budgets."""
        return next((candidate for candidate in self.candidates if candidate.verdict is Verdict.WINNER), None)
