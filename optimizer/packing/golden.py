"""Golden rows: inputs kept in the artifact with the answers that every device must reproduce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contracts.artifact import Artifact, Side
from contracts.artifact.golden import recorded_rows
from contracts.errors import TensorError
from contracts.manifest import Golden
from contracts.postprocessing import AnswerStep, AnswerStepKind, answered, differences, steps_of
from contracts.preprocessing import DTYPES
from optimizer.data.rows import Rows, as_rows
from optimizer.errors import PackingError
from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from optimizer.served import Served

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_ROWS = 1024
FLOAT_TOLERANCE_RATIO = 1e-3
"""Of the range of the outputs, for a float model: what another processor's order of summing may differ by."""
INT8_TOLERANCE_STEPS = 2
"""Of the output's quantization, for an int8 model: runtimes were seen to differ by one step, rarely two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of rerunning the golden rows: the largest difference and in how many a class or choice changed."""

    rows: int
    max_difference: float
    disagreements: int


def answers_of(served: Served, rows: Rows | Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """Return the outputs for the rows as clients would send them; they are read batch by batch."""
    parts = [
        served.infer({spec.name: batch[spec.name].astype(DTYPES[spec.element]) for spec in served.inputs})
        for batch in as_rows(rows).batches(_BATCH_ROWS)
    ]
    return {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in served.outputs}


def postprocessed(
    steps: Sequence[AnswerStep], answers: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """Return the answers as clients get them.

    Raises:
        PackingError: a step does not fit the model's answers.
    """
    try:
        return {name: answered(steps, name, values) for name, values in answers.items()}
    except TensorError as error:
        raise PackingError(f"postprocessing {error}") from error


def choose_golden(
    served: Served,
    rows: Rows,
    *,
    answers: Mapping[str, NDArray[np.float32]],
    wanted: int,
    steps: Sequence[AnswerStep] = (),
) -> tuple[Golden, NDArray[np.int64]]:
    """Return the golden account and which rows to record: spread over those whose classes and choices are clear.

    Args:
        served: the candidate.
        rows: to choose from.
        answers: to all of them, before postprocessing.
        wanted: how many rows to record.
        steps: the postprocessing.
    """
    tolerances = _tolerances(served, rows, answers=answers)
    clear = np.ones(rows.count, dtype=np.bool_)
    for place, (name, values) in enumerate(answers.items()):
        clear &= _is_clear(values, tolerances[name], steps_of(steps, name), first=place == 0)
    pool = np.flatnonzero(clear) if clear.any() else np.arange(rows.count)
    picked = pool[np.unique(np.linspace(0, len(pool) - 1, min(wanted, len(pool))).round().astype(np.int64))]
    unclear = 0 if clear.any() else len(picked)
    tolerance = max(_carried(tolerances[name], steps_of(steps, name)) for name in answers)
    return Golden(rows=len(picked), tolerance=float(np.float32(tolerance * 1.0001)), max_disagreements=unclear), picked


def verify_packed(artifact: Artifact) -> Verified:
    """Return how the golden rows come out on this machine, through the artifact's own account of itself.

    Raises:
        PackingError: the answers are not those in the artifact.
        MeasureFailed: the runtime refuses the model.
    """
    manifest = artifact.manifest
    model = Model.from_bytes(Format(manifest.format.value), artifact.model, name=manifest.model)
    if (model.inputs, model.outputs) != (manifest.model_inputs, manifest.model_outputs):
        raise PackingError(
            f"{manifest.model}: the manifest's model tensors are not those of the model file; pack it again"
        )
    served = Served(
        model=model,
        session=open_session(model, threads=manifest.threads),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        steps=manifest.preprocessing,
    )
    answers = postprocessed(manifest.postprocessing, served.infer(_recorded(artifact, Side.INPUT)))
    found = differences(manifest.postprocessing, answers, _recorded(artifact, Side.OUTPUT))
    verified = Verified(rows=manifest.golden.rows, max_difference=found.largest, disagreements=found.disagreements)
    golden = manifest.golden
    if verified.max_difference > golden.tolerance or verified.disagreements > golden.max_disagreements:
        raise PackingError(
            f"{manifest.model}: golden answers differ by {verified.max_difference:.3g} (at most {golden.tolerance:.3g}"
            f" is accepted) and {verified.disagreements} rows chose otherwise: another runtime made them, or the model"
            " does not repeat itself; use another candidate"
        )
    return verified


def ranks(output: NDArray[np.generic]) -> bool:
    """Return whether rows of the output have a top class that can change."""
    return output.ndim == 2 and output.shape[1] >= 2


def _is_clear(
    values: NDArray[np.generic], tolerance: float, steps: Sequence[AnswerStep], *, first: bool
) -> NDArray[np.bool_]:
    """Return for each row whether what is chosen of it stays when its values move by the tolerance."""
    clear = np.ones(len(values), dtype=np.bool_)
    for place, step in enumerate(steps):
        if step.kind is AnswerStepKind.THRESHOLD:
            before, moved = answered(steps[:place], step.tensor, values), _carried(tolerance, steps[:place])
            sides = [
                answered((step,), step.tensor, before.astype(np.float32) + np.float32(sign * 2 * moved))
                for sign in (-1, 1)
            ]
            clear &= (sides[0] == sides[1]).reshape(len(values), -1).all(axis=1)
    chooses = any(step.kind is AnswerStepKind.TOP_CLASS for step in steps)
    if ranks(values) and (first or chooses):
        ordered = np.sort(values, axis=1)
        clear &= ordered[:, -1] - ordered[:, -2] > 2 * tolerance
    return clear


def _carried(tolerance: float, steps: Sequence[AnswerStep]) -> float:
    """Return how far an output moves at most when the values before its steps move by the tolerance.

    The slopes are bounds: a sigmoid rises by at most a quarter, a share of a softmax by half of what its scores move.
    A choice does not move: it is another one, or the same.
    """
    for step in steps:
        if step.kind is AnswerStepKind.SCALE:
            tolerance *= max(abs(factor) for factor in step.factor)
        elif step.kind.is_choice:
            return 0.0
        else:
            tolerance *= 0.5 if step.kind is AnswerStepKind.SOFTMAX else 0.25
    return tolerance


def _tolerances(served: Served, rows: Rows, *, answers: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Return for each output the absolute difference to accept on another processor; at least twice batching's."""
    count = min(rows.count, 8)
    few = rows.take(np.arange(count))
    alone = [
        answers_of(served, {name: values[place : place + 1] for name, values in few.items()}) for place in range(count)
    ]
    found = {}
    for own, spec in zip(served.model.outputs, served.outputs, strict=True):
        values = answers[spec.name]
        shown = max(float(np.abs(alone[place][spec.name][0] - values[place]).max()) for place in range(count))
        reach = float(values.max() - values.min())
        if own.quantization is not None:
            rule = INT8_TOLERANCE_STEPS * own.quantization.scale
        elif served.model.spec.quantized:
            rule = INT8_TOLERANCE_STEPS * reach / 255
        else:
            rule = FLOAT_TOLERANCE_RATIO * reach
        found[spec.name] = max(rule, 2 * shown)
    return found


def _recorded(artifact: Artifact, side: Side) -> dict[str, NDArray[np.generic]]:
    """Return the golden rows of one side by tensor, shape (rows, ...)."""
    try:
        return recorded_rows(artifact, side)
    except TensorError as error:
        raise PackingError(str(error)) from error
