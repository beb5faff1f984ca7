"""Planning a recipe: model, data and target opened, every objection found, no work done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from device_profiles.errors import ProfileError
from device_profiles.profile import DeviceProfile
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import OptimizerError, PlanError
from optimizer.metrics.choosing import METRICS
from optimizer.model import Model
from optimizer.plan import Plan
from optimizer.recipe.recipe_file import Recipe
from optimizer.recipe.toml import nearest
from optimizer.store import Store
from optimizer.user_function import is_function

Opened = TypeVar("Opened")


def plan_recipe(
    recipe: Recipe, *, label: str = "", store: Store | None = None, told: Callable[[str], None] | None = None
) -> Plan:
    """Return what the recipe would run.

    Args:
        recipe: what to plan.
        label: its name in tables.
        store: where results are kept; by default in memory, for this plan.
        told: called with each thing that the user should know of the model.

    Raises:
        PlanError: with every objection: to model, data, target, metric, and those of the passes.
    """
    subject, found = recipe.subject, [*metric_objections(recipe.subject.metric)]
    target = _opened(subject.open_target, found)
    model = _opened(lambda: subject.open_model(told=told), found)
    calibration: CalibrationSet | None = None
    if subject.data and model is not None:
        calibration = _opened(lambda: _calibration(recipe, model), found)
    if model is not None and target is not None:
        unread = subject.data and calibration is None
        objections = recipe.pipeline.objections(model, target, calibration=calibration)
        found += [one for one in objections if not (unread and one.startswith("calibration: "))]
        found += _result_objections(recipe, model, target)
    if found or model is None or target is None:
        raise PlanError(tuple(found))
    return recipe.pipeline.plan(model, target, calibration=calibration, store=store, label=label)


def _opened(way: Callable[[], Opened], found: list[str]) -> Opened | None:
    """Return what opens; None where it does not, which is one objection more."""
    try:
        return way()
    except (OptimizerError, ProfileError) as error:
        found.append(str(error))
        return None


def _calibration(recipe: Recipe, model: Model) -> CalibrationSet:
    rows = recipe.subject.open_dataset(model).calibration
    return CalibrationSet.of(rows, preprocessing=recipe.subject.preprocessing)


def metric_objections(metric: str) -> Iterator[str]:
    """Yield a sentence where there is no metric of that name; whether it fits the answers is seen with them."""
    if metric and metric not in METRICS and not is_function(metric):
        yield f"there is no metric {metric!r}{nearest(metric, [*METRICS, 'module:function'])}"


def _result_objections(recipe: Recipe, model: Model, target: DeviceProfile) -> Iterator[str]:
    """Yield a sentence where the target does not read what would come out."""
    spec = model.spec
    for step in recipe.steps:
        if spec.format is not step.accepts:
            return
        spec = step.result(spec)
    if spec.format.shipped_as not in target.formats:
        yield (
            f"what comes out is {spec.format}, and {target.name} reads {', '.join(target.formats)}; add the pass that "
            "leads there (edgeship recipe passes)"
        )
