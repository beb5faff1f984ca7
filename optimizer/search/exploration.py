"""Exploring: many pipelines on one model give products and failures; shared steps are done once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from device_profiles.profile import DeviceProfile
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import OptimizerError, PlanError
from optimizer.model import Model
from optimizer.pass_ import Pass
from optimizer.pipeline import Pipeline
from optimizer.plan import Plan
from optimizer.search.candidate import Failure, Product
from optimizer.store import MemoryStore, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One pipeline to try and its short name."""

    label: str
    pipeline: Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What came of the attempts, in their order; each is in one of the two."""

    products: tuple[Product, ...]
    failures: tuple[Failure, ...]


def explore(
    model: Model,
    attempts: Iterable[Attempt],
    target: DeviceProfile,
    *,
    calibration: CalibrationSet | None,
    store: Store | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Exploration:
    """Return the product of each attempt, or why it gave none.

    A step that failed is not tried again in the same exploration, and never stored.

    Args:
        model: the model that the user gave.
        attempts: what to try.
        target: the device that it is for.
        calibration: rows for passes that calibrate.
        store: where results are kept; by default in memory, shared by the attempts.
        told: called with a sentence as each step begins.
    """
    shared = store or MemoryStore()
    products: list[Product] = []
    failures: list[Failure] = []
    known: dict[tuple[Pass, ...], Failure] = {}
    for attempt in attempts:
        try:
            plan = attempt.pipeline.plan(model, target, calibration=calibration, store=shared, label=attempt.label)
        except PlanError as error:
            failures.append(
                Failure(label=attempt.label, step="plan", code=error.code, cause="; ".join(error.objections))
            )
            continue
        outcome = _run(plan, known, told)
        if isinstance(outcome, Product):
            products.append(outcome)
        else:
            failures.append(outcome)
    return Exploration(products=tuple(products), failures=tuple(failures))


def _run(plan: Plan, known: dict[tuple[Pass, ...], Failure], told: Callable[[str], None]) -> Product | Failure:
    for count in range(1, len(plan.steps) + 1):
        before = known.get(plan.steps[:count])
        if before is not None:
            return Failure(label=plan.label, step=before.step, code=before.code, cause=before.cause)
    begun: list[str] = []

    def note(step: str) -> None:
        begun.append(step)
        told(f"{plan.label}: {step}")

    try:
        return plan.run(told=note)
    except OptimizerError as error:
        step = plan.steps[max(len(begun) - 1, 0)].name if plan.steps else "load"
        cause = "; ".join(error.objections) if isinstance(error, PlanError) else str(error)
        failure = Failure(label=plan.label, step=step, code=error.code, cause=cause)
        known[plan.steps[: len(begun)]] = failure
        return failure
