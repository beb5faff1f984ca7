"""The one call: a model, its data, a device and a budget in; a search with its winner out.

The candidates follow from the formats that the target's runtimes read: for ONNX the simplified float
model, static int8 in both activation types and dynamic int8; for TFLite the float file and full int8.
Staying with float is a legal answer unless the target computes in int8 alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts.manifest import ModelFormat
from contracts.preprocessing import Step
from contracts.tensors import ElementType
from device_profiles.profile import DeviceProfile
from optimizer.benchmark.machine import machine_in_words
from optimizer.benchmark.memory import measure_memory
from optimizer.benchmark.timing import Effort, Timing, measure
from optimizer.calibration.rows import CalibrationSet
from optimizer.data.dataset import Dataset, misfits
from optimizer.errors import DatasetError, OptimizerError, PlanError
from optimizer.metrics.fidelity import Fidelity, compare
from optimizer.model import Format, Model
from optimizer.pass_ import Pass
from optimizer.passes import (
    Activation,
    ExportOnnx,
    ExportTflite,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeTflite,
    SimplifyOnnx,
)
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Failure, Product, Search
from optimizer.search.exploration import Attempt, explore
from optimizer.search.frontier import Measured, judge, undecided
from optimizer.served import Served, serve
from optimizer.store import Store

Progress: TypeAlias = Callable[[str, float], None]
"""Told what begins, in words, and the share of the work done, 0 to 1."""

_ORIGINAL = "original"
_SCALED_TO = 10.0
"""Scaled or standardized values hardly lie beyond it."""


def _untold(_what: str, _share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where the work happens: how long to measure, on how many threads, where results are kept.

    Without a ``store`` results of passes live in memory for one search.
    """

    effort: Effort = field(default_factory=Effort)
    threads: int = 1
    store: Store | None = None


DEFAULT_BUDGET: Final = OptimizeBudget()
DEFAULT_BENCH: Final = Bench()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to optimize: a model, its data, its preprocessing and the device that it is for."""

    model: Model
    dataset: Dataset
    target: DeviceProfile
    preprocessing: tuple[Step, ...] = ()


def optimize(
    model: Model,
    dataset: Dataset,
    target: DeviceProfile,
    *,
    budget: OptimizeBudget = DEFAULT_BUDGET,
    objective: Objective = Objective.SIZE,
    preprocessing: tuple[Step, ...] = (),
    bench: Bench = DEFAULT_BENCH,
    progress: Progress = _untold,
) -> Search:
    """Return every candidate for the target, measured and judged, and the winner if any holds the budget.

    Args:
        model: the trained model.
        dataset: rows to calibrate with and rows to judge by.
        target: the device that it is for.
        budget: what it may cost.
        objective: what to prefer among those that hold it.
        preprocessing: steps from what clients send to what the model takes.
        bench: how long to measure, on how many threads, and where results of passes are kept.
        progress: called with a sentence and the share done, 0 to 1.

    Raises:
        DatasetError: the data do not fit the model's tensors; names each, expected and actual shape.
        PlanError: there is no way from the model's format to one that the target reads.
        MeasureFailed: the given model itself cannot be run here.
    """
    case = Case(model=model, dataset=dataset, target=target, preprocessing=preprocessing)
    return search(case, attempts_for(model, target), budget=budget, objective=objective, bench=bench, progress=progress)


def search(
    case: Case,
    attempts: Sequence[Attempt],
    *,
    budget: OptimizeBudget = DEFAULT_BUDGET,
    objective: Objective = Objective.SIZE,
    bench: Bench = DEFAULT_BENCH,
    progress: Progress = _untold,
) -> Search:
    """Return the attempts' candidates, measured and judged; ``optimize`` chooses the attempts itself.

    Raises:
        DatasetError: the data do not fit the model's tensors; names each, expected and actual shape.
        MeasureFailed: the given model itself cannot be run here.
    """
    calibration = checked_calibration(case)
    steps = sum(len(attempt.pipeline.steps) for attempt in attempts) or 1
    begun = iter(range(steps))
    made = explore(
        case.model,
        attempts,
        case.target,
        calibration=calibration,
        store=bench.store,
        told=lambda step: progress(step, 0.6 * next(begun) / steps),
    )
    judging = _Judging(case, bench, progress)
    measured, failures, original_latency = judging.measure(made.products)
    candidates = judge(measured, case.target, budget, objective)
    progress("done", 1.0)
    return Search(
        original=case.model,
        original_fidelity=judging.original_fidelity,
        original_latency=original_latency,
        target=case.target,
        budget=budget,
        objective=objective,
        candidates=candidates,
        failures=(*made.failures, *failures),
        data=case.dataset.digest,
        machine=judging.machine,
        notes=(*undecided(candidates, case.target, budget), *unscaled_notes(case)),
    )


def attempts_for(model: Model, target: DeviceProfile) -> tuple[Attempt, ...]:
    """Return what to try on the model for the target, in the order of the target's formats.

    Raises:
        PlanError: there is no way from the model's format to one that the target reads.
    """
    attempts = tuple(_attempts(model, target))
    if not attempts:
        reads = ", ".join(target.formats)
        raise PlanError((f"{target.name} reads {reads}, and no pass leads there from {model.format}",))
    return attempts


def _attempts(model: Model, target: DeviceProfile) -> Iterator[Attempt]:
    for wanted in target.formats:
        if model.format is Format.TFLITE:
            yield from _tflite_attempts(model, ()) if wanted is ModelFormat.TFLITE else ()
            continue
        start: tuple[Pass, ...] = (ExportOnnx(),) if model.format is Format.TORCH else ()
        base = (*start, SimplifyOnnx())
        if wanted is ModelFormat.ONNX:
            yield from _onnx_attempts(model, base)
        else:
            yield from _tflite_attempts(model, base)


def checked_calibration(case: Case) -> CalibrationSet:
    """Return the rows to calibrate with, once all the data are known to fit the model.

    Raises:
        DatasetError: they do not fit; names every reason.
    """
    calibration = CalibrationSet.of(case.dataset.calibration, preprocessing=case.preprocessing)
    inputs = case.model.inputs
    found = [*calibration.objections(inputs), *misfits("holdout", case.dataset.holdout, inputs)]
    found += _label_objections(case.model, case.dataset.label)
    if found:
        raise DatasetError("the data do not fit the model: " + "; ".join(found) + "; correct the .npz file")
    return calibration


def unscaled_notes(case: Case) -> tuple[str, ...]:
    """Return a sentence for each float input whose values look as a sensor gives them, where no step scales any."""
    if case.preprocessing:
        return ()
    floats = [spec.name for spec in case.model.inputs if spec.element in (ElementType.FP32, ElementType.FP16)]
    ranges = [
        (name, float(case.dataset.holdout[name].min()), float(case.dataset.holdout[name].max())) for name in floats
    ]
    return tuple(
        f"no preprocessing given; {name} ranges {low:g} to {high:g}: if the model was trained on scaled values, "
        f"name it with --preprocess {name}:scale={1 / max(-low, high):.4g}"
        for name, low, high in ranges
        if max(-low, high) > _SCALED_TO
    )


def _onnx_attempts(model: Model, base: tuple[Pass, ...]) -> Iterator[Attempt]:
    if model.spec.quantized:
        yield Attempt(label="onnx as given", pipeline=Pipeline())
        return
    yield Attempt(label="onnx float", pipeline=Pipeline(*base))
    for activation, word in ((Activation.QUINT8, "u8s8"), (Activation.QINT8, "s8s8")):
        yield Attempt(label=f"onnx int8 static {word}", pipeline=Pipeline(*base, QuantizeStatic(activation=activation)))
    yield Attempt(label="onnx int8 dynamic", pipeline=Pipeline(*base, QuantizeDynamic()))


def _tflite_attempts(model: Model, base: tuple[Pass, ...]) -> Iterator[Attempt]:
    start: tuple[Pass, ...] = () if model.format is Format.TFLITE else (*base, ExportTflite())
    yield Attempt(label="tflite float" if start else "tflite as given", pipeline=Pipeline(*start))
    if not model.spec.quantized:
        yield Attempt(label="tflite int8", pipeline=Pipeline(*start, QuantizeTflite()))


def _label_objections(model: Model, label: NDArray[np.generic] | None) -> Iterator[str]:
    if label is None or not np.issubdtype(label.dtype, np.integer):
        return
    output = model.outputs[0]
    classes = max(output.elements_per_row, 2)
    low, high = int(label.min()), int(label.max())
    if low < 0 or high >= classes:
        yield (
            f"holdout/label: classes {low} to {high}, but output {output.name!r} has shape {output.shape}; "
            "give class indices from 0, or floats where the output is a quantity"
        )


class _Judging:
    """Runs products beside the original, on the same rows and the same clock."""

    def __init__(self, case: Case, bench: Bench, progress: Progress) -> None:
        self._case = case
        self._bench = bench
        self._progress = progress
        self.machine = machine_in_words()
        self._original = self._serve(case.model)
        self._reference = self._answers(self._original)
        self.original_fidelity = self._fidelity(self._reference)

    def measure(self, products: Sequence[Product]) -> tuple[list[Measured], list[Failure], Timing]:
        """Return every product that runs with its figures, why others do not run, and the original's timing."""
        running: list[tuple[Product, Served, Fidelity, int]] = []
        failures: list[Failure] = []
        for place, product in enumerate(products):
            self._progress(f"{product.label}: comparing with the original", 0.6 + 0.2 * place / len(products))
            try:
                served = self._serve(product.model)
                fidelity = self._fidelity(self._answers(served))
                (memory,) = measure_memory([product.model])
            except OptimizerError as error:
                failures.append(Failure(label=product.label, step="measure", code=error.code, cause=str(error)))
            else:
                running.append((product, served, fidelity, memory))
        timings = self._time({product.label: served for product, served, _, _ in running})
        measured = [
            Measured(
                product=product,
                preprocessing=served.steps,
                fidelity=fidelity,
                latency=timings[product.label],
                memory_bytes=memory,
            )
            for product, served, fidelity, memory in running
        ]
        return measured, failures, timings[_ORIGINAL]

    def _time(self, running: dict[str, Served]) -> dict[str, Timing]:
        self._progress("timing all of them in turn on this machine", 0.85)
        calls = {
            label: served.one_row(self._case.dataset.holdout)
            for label, served in {_ORIGINAL: self._original, **running}.items()
        }
        return measure(calls, effort=self._bench.effort, threads=self._bench.threads, machine=self.machine)

    def _serve(self, model: Model) -> Served:
        return serve(model, self._case.model, self._case.preprocessing, threads=self._bench.threads)

    def _answers(self, served: Served) -> NDArray[np.float32]:
        return served.infer(self._case.dataset.holdout)[self._case.model.outputs[0].name]

    def _fidelity(self, answers: NDArray[np.float32]) -> Fidelity:
        return compare(answers, self._reference, self._case.dataset.label)
