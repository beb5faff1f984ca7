"""What a search is about, and where it works: the model, its data and its device; the bench that measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from contracts.codec import to_plain
from contracts.ids import digest_of
from contracts.preprocessing import Step
from device_profiles.profile import DeviceProfile
from optimizer.benchmark.timing import Effort, Timing
from optimizer.calibration.rows import CalibrationSet
from optimizer.data.dataset import Dataset, misfits, value_ranges
from optimizer.errors import DatasetError
from optimizer.metrics.fidelity import Fidelity
from optimizer.model import Format, Model
from optimizer.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.benchmark.runner import Runner

_DISTURBED: Final = 1.6
"""p95 over p50 of a calm machine stays well below it."""
_SCALED_TO: Final = 10.0
"""Scaled or standardized values hardly lie beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to optimize: a model, its data, its preprocessing and the device that it is for.

    ``metric`` names what "as good as the original" means; empty: what the data can carry.
    """

    model: Model
    dataset: Dataset
    target: DeviceProfile
    preprocessing: tuple[Step, ...] = ()
    metric: str = ""

    @property
    def name(self) -> str:
        """The model's name and a digest over everything that a result depends on: the same case, the same name."""
        told = (
            self.model.digest,
            self.dataset.digest,
            to_plain(self.target),
            to_plain(self.preprocessing),
            self.metric,
        )
        return f"{self.model.name}-{digest_of(repr(told).encode())[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where the work happens.

    Attributes:
        effort: how long to measure the finalists; each candidate beforehand for a quarter of it.
        threads: how many threads a runtime gets.
        store: where results of passes are kept; by default in memory, for one search.
        runner: who takes latency and memory; by default this process, as a host that is not the target.
        figures: folder that keeps every figure taken; None: they last as long as the search.
        storage: the search's account, an Optuna storage as in ``sqlite:///search.db``; empty: memory.
    """

    effort: Effort = field(default_factory=Effort)
    threads: int = 1
    store: Store | None = None
    runner: Runner | None = None
    figures: Path | None = None
    storage: str = ""


DEFAULT_BENCH: Final = Bench()


def checked_calibration(case: Case) -> CalibrationSet:
    """Return the rows to calibrate with, once all the data are known to fit the model.

    Raises:
        DatasetError: they do not fit; names every reason.
    """
    calibration = CalibrationSet.of(case.dataset.calibration, preprocessing=case.preprocessing)
    inputs = case.model.inputs
    found = [*calibration.objections(inputs), *misfits("holdout", case.dataset.holdout, inputs)]
    found += _label_objections(case)
    if found:
        raise DatasetError("the data do not fit the model: " + "; ".join(found) + "; correct the data")
    return calibration


def unscaled_notes(case: Case) -> tuple[str, ...]:
    """Return a sentence for each float input whose values look as a sensor gives them, where no step scales any."""
    if case.preprocessing:
        return ()
    floats = [spec.name for spec in case.model.inputs if spec.element.is_float]
    ranges = value_ranges(case.dataset.holdout, floats)
    return tuple(
        f"no preprocessing given; {name} ranges {low:g} to {high:g}: if the model was trained on scaled values, "
        f"name it with --preprocess {name}:scale={1 / max(-low, high):.4g}"
        for name, (low, high) in ranges.items()
        if max(-low, high) > _SCALED_TO
    )


def doubt_notes(case: Case, original: Fidelity, timing: Timing) -> tuple[str, ...]:
    """Return a sentence where the original is right more seldom than by chance, and where its timing was disturbed."""
    notes = []
    classes = len(case.dataset.labels) or case.model.outputs[0].elements_per_row
    if original.metric == "accuracy" and classes > 1 and original.value < 0.8 / classes:
        order = ", ".join(f"{name} = {place}" for place, name in enumerate(case.dataset.labels[:12]))
        told = f" (here: {order})" if order else ""
        notes.append(
            f"The original is right on {100 * original.value:.2f} % of the rows, more seldom than by chance: are the "
            f"classes numbered as the model numbers them{told}, and is the preprocessing its own?"
        )
    if timing.p95_ms > _DISTURBED * timing.p50_ms:
        notes.append(
            f"The machine was disturbed while it timed (p95 is {timing.p95_ms / timing.p50_ms:.1f} times p50): take "
            "latencies as rough, or measure again on a calm machine into a new folder."
        )
    return tuple(notes)


def torch_notes(case: Case) -> tuple[str, ...]:
    """Return the sentence on what was timed as the original where no device runs the model that was given."""
    if case.model.format is not Format.TORCH:
        return ()
    return (
        f"{case.model.name} is a torch program, which no device runs: its plain ONNX export was timed as original.",
    )


def _label_objections(case: Case) -> Iterator[str]:
    label = case.dataset.label
    if label is None or case.metric or not np.issubdtype(label.dtype, np.integer):
        return
    output = case.model.outputs[0]
    classes = output.elements_per_row
    low, high = int(label.min()), int(label.max())
    if classes > 1 and len(output.shape) == 2 and (low < 0 or high >= classes):
        yield (
            f"holdout/label: classes {low} to {high}, but output {output.name!r} has shape {output.shape}; "
            "give class indices from 0, or floats where the output is a quantity"
        )
