"""Making: an attempt is one pipeline and its name; it gives a product or a failure, and shared steps are done once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_profiles.profile import DeviceProfile
from optimizer.errors import OptimizerError, PlanError
from optimizer.model import Model
from optimizer.pass_ import Pass
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure, Product
from optimizer.store import Store
from optimizer.telling import Progress, Told, nobody

if TYPE_CHECKING:
    from optimizer.calibration.rows import CalibrationSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One pipeline to try and its short name; ``built_on``: later rounds need its figures, however slow it is."""

    label: str
    pipeline: Pipeline
    built_on: bool = False

    @property
    def key(self) -> str:
        """What tells it apart in a study: its name and its pipeline in words."""
        return f"{self.label}: {self.pipeline}"


class Maker:
    """Makes the products of one model for one target.

    A step that failed is not tried again by the same maker, and a failure is never stored.
    """

    def __init__(
        self, model: Model, target: DeviceProfile, *, calibration: CalibrationSet | None, store: Store
    ) -> None:
        self._model = model
        self._target = target
        self._calibration = calibration
        self._store = store
        self._failed: dict[tuple[Pass, ...], Failure] = {}

    def make(self, attempt: Attempt, *, told: Told = nobody, progress: Progress = nobody) -> Product | Failure:
        """Return the product of the attempt, or why it gave none.

        Args:
            attempt: what to try.
            told: called with each step's words as it begins.
            progress: called while a step looks at rows or trains, with a sentence and the share done.
        """
        steps = attempt.pipeline.steps
        for count in range(1, len(steps) + 1):
            before = self._failed.get(steps[:count])
            if before is not None:
                return Failure(label=attempt.label, step=before.step, code=before.code, cause=before.cause)
        begun: list[str] = []

        def note(step: str) -> None:
            begun.append(step)
            told(step)

        try:
            plan = attempt.pipeline.plan(
                self._model, self._target, calibration=self._calibration, store=self._store, label=attempt.label
            )
            return plan.run(told=note, progress=progress)
        except OptimizerError as error:
            cause = "; ".join(error.objections) if isinstance(error, PlanError) else str(error)
            step = steps[len(begun) - 1].name if begun else "plan"
            failure = Failure(label=attempt.label, step=step, code=error.code, cause=cause)
            self._failed[steps[: len(begun)] or steps] = failure
            return failure
