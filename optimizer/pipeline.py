"""A pipeline: passes in order. Planning it finds every objection at once, before any work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from device_profiles.profile import DeviceProfile
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import PlanError
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Pass
from optimizer.plan import Plan
from optimizer.store import MemoryStore, Store


@dataclass(frozen=True, slots=True, init=False)
class Pipeline:
    """Passes in the order in which they run; none at all keeps the model as it is."""

    steps: tuple[Pass, ...]

    def __init__(self, *steps: Pass) -> None:
        object.__setattr__(self, "steps", steps)

    def __str__(self) -> str:
        """Return the passes joined by arrows, as lineages show them."""
        return " -> ".join(str(step) for step in self.steps) or "as it is"

    def plan(
        self,
        model: Model,
        target: DeviceProfile,
        *,
        calibration: CalibrationSet | None = None,
        store: Store | None = None,
        label: str = "",
    ) -> Plan:
        """Return what would run on the model; does no work and imports no framework.

        Args:
            model: the model that the user gave.
            target: the device that it is for.
            calibration: rows for passes that calibrate.
            store: where results are kept; by default in memory, for this plan.
            label: a short name for tables; by default the pipeline in words.

        Raises:
            PlanError: with every objection: formats, libraries, data, and the passes' own.
        """
        found = tuple(self.objections(model, target, calibration=calibration))
        if found:
            raise PlanError(found)
        return Plan(
            source=model,
            target=target,
            steps=self.steps,
            calibration=calibration,
            store=store or MemoryStore(),
            label=label or str(self),
        )

    def objections(
        self, model: Model, target: DeviceProfile, *, calibration: CalibrationSet | None = None
    ) -> Iterator[str]:
        """Yield every reason why the pipeline cannot run on the model for the target."""
        spec, calibrates = model.spec, False
        for step in self.steps:
            yield from _step_objections(step, spec, target)
            calibrates = calibrates or step.observes(spec).any
            spec = step.result(spec)
        if calibrates:
            yield from _calibration_objections(model, calibration)


def _step_objections(step: Pass, spec: ModelSpec, target: DeviceProfile) -> Iterator[str]:
    for library in step.missing_libraries():
        yield f"{step.name}: needs {library}, which is not installed: pip install 'edgeship[optimizer]'"
    if spec.format is not step.accepts:
        yield (
            f"{step.name}: takes {step.accepts}, but gets {spec.format} here; {_way(spec.format, step.accepts)} "
            "(all passes: edgeship recipe passes)"
        )
        return
    if step.quantizes and spec.not_finite:
        names = ", ".join(repr(name) for name in spec.not_finite[:3])
        yield f"{step.name}: {names} of {spec.name} holds NaN or infinite values; train or export the model again"
    for objection in step.objections(spec, target):
        yield f"{step.name}: {objection}"


def _way(given: Format, wanted: Format) -> str:
    """Return what leads from one format to the other, or who would have to give it."""
    if wanted is Format.TORCH:
        return "give the PyTorch code or the weights that it was exported from"
    if given is Format.TORCH:
        return "put export-onnx before it"
    if given is Format.ONNX and wanted is Format.TFLITE:
        return "put export-tflite before it"
    return f"nothing leads back: give the {wanted} model"


def _calibration_objections(model: Model, calibration: CalibrationSet | None) -> Iterator[str]:
    if calibration is None:
        yield 'calibration: the pipeline calibrates and no data are given; add data = "FILE.npz" to the recipe'
        return
    yield from calibration.objections(model.inputs)
