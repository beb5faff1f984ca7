"""A plan: a pipeline that has no objection, bound to a model; running it goes step by step through the store."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.ids import Digest
from device_profiles.profile import DeviceProfile
from optimizer.calibration.kept import CHECKPOINT_SECONDS, KeptStatistics
from optimizer.calibration.rows import CalibrationSet
from optimizer.equivalence import check_equivalence, sample_rows
from optimizer.errors import PlanError
from optimizer.formats.quiet import quiet
from optimizer.model import Model, served_spec
from optimizer.pass_ import Desk, Observations, Pass, Wants
from optimizer.search.candidate import LineageStep, Product
from optimizer.store import Kind, Store, Stored, reread, store_key
from optimizer.telling import Progress, Told, nobody

_CHECKED_ROWS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will run: made by ``Pipeline.plan``, so it has no objection."""

    source: Model
    target: DeviceProfile
    steps: tuple[Pass, ...]
    calibration: CalibrationSet | None
    store: Store
    label: str

    def __str__(self) -> str:
        """Return one line a step: what runs, on which format, with how many rows."""
        lines = [f"{self.source.name}  {self.source.format}  {self.source.size_bytes:,} bytes"]
        spec = self.source.spec
        for step in self.steps:
            wants = step.observes(spec)
            have = self.calibration.count if self.calibration else 0
            rows = f"  {min(max(wants.rows, wants.statistics_rows), have)} calibration rows" if wants.any else ""
            lines.append(f"  {step}  {step.accepts} -> {step.produces}{rows}")
            spec = step.result(spec)
        return "\n".join(lines)

    def run(
        self,
        *,
        told: Told | None = None,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Product:
        """Return the product; results that the store already has are not made again.

        Args:
            told: called with each step's words as it begins.
            progress: called while a step's calibration rows are looked at, with a sentence and the share of them done.
            clock: a monotonic clock, seconds; for the account of the work and for how often unfinished work is kept.

        Raises:
            PlanError: a pass objects to what an earlier pass made (its operators were not known before).
            PassFailed: a pass could not do its work; nothing is stored for it.
            PromiseBroken: a pass broke its contract.
        """
        looking = KeptStatistics(self.store, clock=clock, progress=progress)
        model, lineage = self.source, []
        for step in self.steps:
            if told is not None:
                told(str(step))
            model, line = self._run_step(step, model, looking, told=progress or nobody, clock=clock)
            lineage.append(line)
        return Product(
            label=self.label,
            source=self.source.digest,
            inputs=tuple(served_spec(spec) for spec in self.source.inputs),
            outputs=tuple(served_spec(spec) for spec in self.source.outputs),
            model=model,
            lineage=tuple(lineage),
            tools=tool_versions(self.steps),
        )

    def _run_step(
        self, step: Pass, model: Model, looking: KeptStatistics, *, told: Progress, clock: Callable[[], float]
    ) -> tuple[Model, LineageStep]:
        wants = step.observes(model.spec)
        looked_at = f"{wants.rows}/{wants.statistics_rows}"
        fingerprint = f"{self.calibration.fingerprint}/{looked_at}" if self.calibration and wants.any else ""
        key = store_key(model, step, fingerprint=fingerprint, tools=tool_versions((step,)))
        kept = self._kept(key, step, model)
        if kept is not None:
            return kept
        found = tuple(f"{step.name}: {objection}" for objection in step.objections(model.spec, self.target))
        if found:
            raise PlanError(found)
        with self.store.making(key):
            kept = self._kept(key, step, model)  # somebody else may have made it meanwhile
            if kept is not None:
                return kept
            start = clock()
            desk = self._desk(key, told, clock)
            result = step.run(model, dataclasses.replace(self._observe(model, wants, looking), desk=desk))
            if step.equivalent:
                self._check(model, result)
            seconds = clock() - start
            self.store.put(key, Stored.of(result, seconds), what=f"{step} of {model.name} {model.digest[:12]}")
            self.store.drop(key, Kind.UNFINISHED)
        return result, _line(step, result, seconds, from_store=False)

    def _check(self, before: Model, after: Model) -> None:
        """Refuse a conversion that answers differently, naming the first tensor that does.

        Raises:
            EquivalenceLost: an output differs by more than rounding.
        """
        rows = self.calibration.take(before, self.source.inputs, _CHECKED_ROWS) if self.calibration else {}
        with quiet():
            check_equivalence(before, after, rows or sample_rows(before))

    def _kept(self, key: Digest, step: Pass, model: Model) -> tuple[Model, LineageStep] | None:
        stored = self.store.get(key)
        result = reread(stored, model.name) if stored is not None else None
        if stored is None or result is None:
            return None
        return result, _line(step, result, stored.seconds, from_store=True)

    def _desk(self, key: Digest, told: Progress, clock: Callable[[], float]) -> Desk:
        """Return the desk at which the result of the key is made; unfinished work is kept every few seconds."""
        last = clock()

        def keep(content: bytes) -> None:
            nonlocal last
            if clock() - last >= CHECKPOINT_SECONDS:
                self.store.write(key, Kind.UNFINISHED, content)
                last = clock()

        return Desk(progress=told, kept=lambda: self.store.read(key, Kind.UNFINISHED), keep=keep)

    def _observe(self, model: Model, wants: Wants, looking: KeptStatistics) -> Observations:
        if not wants.any or self.calibration is None:
            return Observations()
        served = self.source.inputs
        return Observations(
            rows=self.calibration.take(model, served, wants.rows),
            statistics=looking.of(model, self.calibration, served, wants.statistics_rows)
            if wants.statistics_rows > 0
            else None,
        )


def tool_versions(steps: tuple[Pass, ...]) -> Mapping[str, str]:
    """Return distribution and version of every tool that the steps' bytes depend on."""
    return {tool: _version(tool) for step in steps for tool in step.tools}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _line(step: Pass, model: Model, seconds: float, *, from_store: bool) -> LineageStep:
    return LineageStep(
        text=str(step),
        format=model.format,
        size_bytes=model.size_bytes,
        digest=model.digest,
        seconds=seconds,
        from_store=from_store,
    )
