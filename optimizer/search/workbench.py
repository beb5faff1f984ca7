"""Trying one attempt: its pipeline run, its answers compared with the original's, its memory and latency taken.

The filters come in the order of their price: the plan's objections, the file's size, the answers, memory, latency.
An attempt that one of them stops is a ``Failure`` with the reason; the next ones are not paid for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from contracts.ids import Digest
from contracts.manifest import TakenOn
from device_profiles.profile import DeviceClass
from optimizer.benchmark.choice import choose_runner
from optimizer.benchmark.kept import KeptRunner
from optimizer.benchmark.runner import Measurable, Runner
from optimizer.benchmark.timing import Effort, Timing
from optimizer.errors import MeasureFailed, OptimizerError
from optimizer.metrics.choosing import choose_metric
from optimizer.metrics.fidelity import Answers, Fidelity, Metric, compare
from optimizer.microcontroller.bundle import arena_of
from optimizer.microcontroller.planner import planned_arena
from optimizer.model import Format, Model
from optimizer.passes import ExportOnnx
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective
from optimizer.search.candidate import Failure, Measured, Product
from optimizer.search.fitness import runs_on
from optimizer.search.making import Attempt, Maker
from optimizer.served import Served, serve
from optimizer.store import MemoryStore
from optimizer.words import size_in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.benchmark.operators import OperatorProfile
    from optimizer.calibration.rows import CalibrationSet
    from optimizer.search.budget import OptimizeBudget
    from optimizer.search.case import Bench, Case

_PROFILED_RUNS: Final = 50
_SLOWER: Final = 1.05
TIMED_ROWS: Final = 16
"""How many different rows the timed runs go round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one attempt's product, as the study keeps it; ``beside`` is the original in the same run."""

    product: Digest
    fidelity: Fidelity
    memory_bytes: int
    latency: Timing
    beside: Timing

    @property
    def ratio(self) -> float:
        """Latency as a share of the original's."""
        return self.latency.p50_ms / self.beside.p50_ms


class Workbench:
    """One worker's tools for one case; what it makes and measures is kept, so that nothing is done twice."""

    def __init__(
        self,
        case: Case,
        calibration: CalibrationSet,
        *,
        bench: Bench,
        budget: OptimizeBudget,
        objective: Objective | None,
        told: Callable[[str], None],
    ) -> None:
        """Serve the original and take its answers.

        Raises:
            MeasureFailed: the given model itself cannot be run here.
            MetricError: the metric does not fit the model's answers.
        """
        self.case = case
        self.bench = bench
        self._budget = budget
        self._told = told
        self._calibration = calibration
        self._maker = Maker(case.model, case.target, calibration=calibration, store=bench.store or MemoryStore())
        runner = bench.runner or choose_runner(case.target)
        self.runner: Runner = KeptRunner(runner, bench.figures) if bench.figures else runner
        on_target = self.runner.taken_on is TakenOn.TARGET
        self._objective = objective or (Objective.LATENCY if on_target else Objective.SIZE)
        self._served_original = self._serve(case.model)
        self._reference = self._served_original.infer(case.dataset.holdout)
        self._metric: Metric = choose_metric(case.metric, self._reference, case.dataset.label)
        self.original_fidelity = self._compare(self._reference)
        self._rows = case.dataset.holdout.take(_first_places(case.dataset.holdout.count))

    @property
    def objective(self) -> Objective:
        """What to prefer: what was asked for, else latency where it is taken on the target itself, else size."""
        return self._objective

    @cached_property
    def _timed_original(self) -> Model:
        """The original as a device could run it: of a torch program its plain ONNX export."""
        if self.case.model.format is not Format.TORCH:
            return self.case.model
        made = self._maker.make(Attempt(label="original", pipeline=Pipeline(ExportOnnx())))
        if isinstance(made, Failure):
            raise MeasureFailed(f"the original has no ONNX export to be timed: {made.cause}")
        return made.model

    def say(self, what: str) -> None:
        """Tell what begins now."""
        self._told(what)

    def rows_to_weigh(self, count: int) -> Mapping[str, NDArray[np.generic]]:
        """Return so many calibration rows as the model takes them; none of them judges."""
        return self._calibration.take(self.case.model, self.case.model.inputs, count)

    def make(self, attempt: Attempt) -> Product | Failure:
        """Return what the attempt's pipeline gives, from the store where it is there."""
        return self._maker.make(
            attempt,
            told=lambda step: self._told(f"{attempt.label}: {step}"),
            progress=lambda what, share: self._told(f"{what}, {share:.0%}: {attempt.label}"),
        )

    def measure(self, product: Product, *, built_on: bool = False) -> Figures | Failure:
        """Return the figures of the product, or which filter stopped it; one that is built on is never too slow."""
        try:
            return self._measure(product, built_on=built_on)
        except OptimizerError as error:
            return Failure(label=product.label, step="measure", code=error.code, cause=str(error))

    def time(self, products: Sequence[Product], *, effort: Effort) -> tuple[Timing, ...]:
        """Return the timing of the original, then of each product, all in turn in one run."""
        measurables = [self._measurable("original", self._timed_original), *(self._product(one) for one in products)]
        return self.runner.time(measurables, self._rows, effort=effort, threads=self.bench.threads)

    def some_answers(self, product: Product, count: int) -> Answers:
        """Return every served output of the product for the first rows to judge by."""
        self._told(f"{product.label}: running {count} rows")
        rows = self.case.dataset.holdout
        return self._serve(product.model).infer(rows.take(np.arange(min(count, rows.count), dtype=np.int64)))

    def operators(self, product: Product, *, named_as: Model | None) -> OperatorProfile:
        """Return where the time of the product goes on this machine, operations named as in the other model."""
        self._told(f"{product.label}: taking the time of each operation")
        return self.runner.profile(
            self._product(product), self._rows, runs=_PROFILED_RUNS, threads=self.bench.threads, named_as=named_as
        )

    def measured(self, product: Product, figures: Figures) -> Measured:
        """Return the product with its figures, ready to be judged."""
        return Measured(
            product=product,
            preprocessing=(*self.case.preprocessing, *product.model.adapter),
            fidelity=figures.fidelity,
            latency=figures.latency,
            beside=figures.beside,
            memory_bytes=figures.memory_bytes,
        )

    def _measure(self, product: Product, *, built_on: bool) -> Figures | Failure:
        limit = self._budget.max_size_bytes
        if limit is not None and product.model.size_bytes > limit and not built_on:
            size = size_in_words(product.model.size_bytes)
            cause = f"its size is {size}, over {size_in_words(limit)}; nothing else was measured"
            return Failure(label=product.label, step="size", code="over_size", cause=cause)
        self._told(f"{product.label}: timing it beside the original")
        beside, latency = self.time((product,), effort=_shorter(self.bench.effort))
        ratio = latency.p50_ms / beside.p50_ms
        if self._only_faster and ratio > _SLOWER and not built_on:
            cause = f"it takes {ratio:.2f}x the original's time on {self.case.target.name}; nothing else was measured"
            return Failure(label=product.label, step="latency", code="slower", cause=cause)
        self._told(f"{product.label}: comparing its answers with the original's, and measuring its memory")
        with ThreadPoolExecutor(max_workers=1) as beside_it:  # a process of its own, while this one compares
            memory = beside_it.submit(self._memory, product)
            fidelity = self._compare(self._answers_of(product.model))
        return Figures(
            product=product.model.digest,
            fidelity=fidelity,
            memory_bytes=memory.result(),
            latency=latency,
            beside=beside,
        )

    def _memory(self, product: Product) -> int:
        """Return the bytes that loading and running adds to a process; of a microcontroller's runtime, its arena.

        Raises:
            MeasureFailed: the runtime refuses the model.
        """
        target, model = self.case.target, product.model
        if target.device_class is not DeviceClass.MICROCONTROLLER or model.format is not Format.TFLITE:
            return self.runner.memory(self._product(product), threads=self.bench.threads)
        if runs_on(model, target) is None:
            return arena_of(model).size_bytes
        return planned_arena(model.content)  # it is built on, and never shipped

    @property
    def _only_faster(self) -> bool:
        """Whether what is slower than the original can be left at that: latency decides, and nothing forces size."""
        budget, target = self._budget, self.case.target
        forced = budget.max_size_bytes or budget.max_memory_bytes or target.full_int8
        on_target = self.runner.taken_on is TakenOn.TARGET
        return self._objective is Objective.LATENCY and on_target and not forced

    def _answers_of(self, model: Model) -> Answers:
        if model.digest == self.case.model.digest and model.adapter == self.case.model.adapter:
            return self._reference
        return self._serve(model).infer(self.case.dataset.holdout)

    def _compare(self, answers: Answers) -> Fidelity:
        return compare(answers, self._reference, self.case.dataset.label, self._metric)

    def _serve(self, model: Model) -> Served:
        return serve(model, self.case.model, self.case.preprocessing, threads=self.bench.threads)

    def _product(self, product: Product) -> Measurable:
        return self._measurable(product.label, product.model)

    def _measurable(self, label: str, model: Model) -> Measurable:
        return Measurable(
            label=label,
            model=model,
            inputs=self._served_original.inputs,
            outputs=self._served_original.outputs,
            steps=(*self.case.preprocessing, *model.adapter),
        )


def _shorter(effort: Effort) -> Effort:
    """Return the effort for one candidate beside the original: a quarter of the finalists' time."""
    return dataclasses.replace(effort, seconds=effort.seconds / 4)


def _first_places(count: int) -> NDArray[np.int64]:
    return np.arange(min(count, TIMED_ROWS), dtype=np.int64)
