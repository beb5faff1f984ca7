"""The artifact's own account of itself: what it takes, what it gives, how it was made, how it must behave.

Measurements say where they were taken: ``host`` is the machine that ran the optimizer, ``target``
the profile's own device. A host's number is never called the target's [artifact-2.3].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contracts.ids import Digest, ModelName, ProfileName
from contracts.postprocessing import AnswerStep, check_order
from contracts.preprocessing import Step
from contracts.sketch import SketchPlan
from contracts.tensors import TensorSpec

NEWEST_SCHEMA = 2
"""What is written; 2 added postprocessing, the commit and the environment, and members that are documents. A file of
each is kept in ``tests/golden`` for ever [artifact-5.3]."""
THREADS_LIMIT = 256
"""More than any device has; a runtime asked for more may take all memory for their stacks."""


class ModelFormat(StrEnum):
    """Which runtime reads the model file."""

    ONNX = "onnx"
    TFLITE = "tflite"


class TakenOn(StrEnum):
    """Where a measurement was taken."""

    HOST = "host"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured figure: ``name`` carries the unit (``latency_p50_ms``), ``n`` how many samples.

    ``machine`` says in words what it was measured on.
    """

    name: str
    value: float
    n: int
    taken_on: TakenOn
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit that the artifact was made from; ``dirty`` when files differed from it."""

    revision: str
    dirty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where the artifact comes from: digests of what went in, and the tools that made it.

    ``passes`` are spelt with their parameters; ``tools`` are the distributions that the model's bytes depend on,
    with their versions; ``environment`` says on what they ran (``python``, ``system``, ``machine``). ``data_version``
    is what its owners call the data; ``commit`` is None where the work is kept in no repository [artifact-2.4].
    """

    source: Digest
    data: Digest
    passes: tuple[str, ...]
    code_version: str
    tools: Mapping[str, str]
    data_version: str = ""
    commit: Commit | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one device may spend on it; probation reverts a release that spends more.

    ``latency_p95_ms`` is per request of one row; ``memory_bytes`` what loading and running it adds
    to the agent's resident memory. ``None`` means no limit was stated.
    """

    latency_p95_ms: float | None = None
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse what bounds nothing: every comparison with a NaN is false."""
        if self.latency_p95_ms is not None:
            _check_amount("budget: latency_p95_ms", self.latency_p95_ms)
        if self.memory_bytes is not None:
            _check_amount("budget: memory_bytes", self.memory_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Recorded answers that the device must reproduce before the release may serve.

    ``rows`` inputs are kept in the artifact with the reference's outputs. At most
    ``max_disagreements`` of them may differ in their top class or in a choice that postprocessing
    makes, and no other output may differ by more than ``tolerance`` (absolute, in the served output's unit).
    """

    rows: int
    tolerance: float
    max_disagreements: int = 0

    def __post_init__(self) -> None:
        """Refuse a check that would check nothing."""
        _check_amount("golden: tolerance", self.tolerance)
        _check_amount("golden: max_disagreements", self.max_disagreements)
        if self.rows < 1:
            raise ValueError(f"golden: rows {self.rows} is not positive; record at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactManifest:
    """Everything about one artifact except the bytes of its members.

    ``inputs`` and ``outputs`` are what is served (before preprocessing, after dequantization and
    postprocessing, batch of any size); ``model_inputs`` and ``model_outputs`` are the model file's own tensors, in its
    order, paired with the served ones by place. ``labels`` names the classes of the first output.
    """

    model: ModelName
    version: str
    counter: int
    profile: ProfileName
    format: ModelFormat
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    model_inputs: tuple[TensorSpec, ...]
    model_outputs: tuple[TensorSpec, ...]
    preprocessing: tuple[Step, ...]
    labels: tuple[str, ...]
    threads: int
    budget: Budget
    golden: Golden
    sketch_plan: SketchPlan
    measurements: tuple[Measurement, ...]
    lineage: Lineage
    min_agent_version: str = "0.1.0"
    postprocessing: tuple[AnswerStep, ...] = ()
    schema: int = NEWEST_SCHEMA

    def __post_init__(self) -> None:
        """Refuse a number of threads that no runtime can start, and steps that cannot follow each other."""
        if not 1 <= self.threads <= THREADS_LIMIT:
            raise ValueError(f"threads {self.threads} is not between 1 and {THREADS_LIMIT}")
        if self.postprocessing and self.schema < 2:
            raise ValueError("schema 1 has no postprocessing; pack the artifact again")
        check_order(self.postprocessing, [spec.name for spec in self.outputs])


def _check_amount(name: str, amount: float) -> None:
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(f"{name} {amount} is not a finite number from 0 on")
