"""Golden rows: inputs kept in the artifact with the answers that every device must reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contracts.artifact import Artifact
from contracts.manifest import Golden
from contracts.preprocessing import DTYPES
from contracts.tensors import TensorSpec
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
    """What came of rerunning the golden rows: the largest difference and how many top classes changed."""

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


def choose_golden(
    served: Served,
    rows: Rows,
    *,
    answers: Mapping[str, NDArray[np.float32]],
    wanted: int,
) -> tuple[Golden, NDArray[np.int64]]:
    """Return the golden account and which rows to record: spread over those whose top class is clear."""
    tolerance = _tolerance(served, rows, answers=answers)
    first = answers[served.outputs[0].name]
    everything = np.arange(len(first))
    clear = everything
    if ranks(first):
        ordered = np.sort(first, axis=1)
        clear = everything[ordered[:, -1] - ordered[:, -2] > 2 * tolerance]
    pool = clear if len(clear) else everything
    picked = pool[np.unique(np.linspace(0, len(pool) - 1, min(wanted, len(pool))).round().astype(np.int64))]
    unclear = 0 if len(clear) else len(picked)
    return Golden(rows=len(picked), tolerance=tolerance, max_disagreements=unclear), picked


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
    rows = {spec.name: _recorded(artifact, "input", spec) for spec in manifest.inputs}
    verified = _compare(served.infer(rows), artifact)
    golden = manifest.golden
    if verified.max_difference > golden.tolerance or verified.disagreements > golden.max_disagreements:
        raise PackingError(
            f"{manifest.model}: golden answers differ by {verified.max_difference:.3g} (at most {golden.tolerance:.3g}"
            f" is accepted) and {verified.disagreements} top classes changed: another runtime made them, or it does not"
            " repeat itself; use another candidate"
        )
    return verified


def ranks(output: NDArray[np.generic]) -> bool:
    """Return whether rows of the output have a top class that can change."""
    return output.ndim == 2 and output.shape[1] >= 2


def _tolerance(served: Served, rows: Rows, *, answers: Mapping[str, NDArray[np.float32]]) -> float:
    """Return the absolute difference to accept on another processor; at least twice what batching shows here."""
    count = min(rows.count, 8)
    few = rows.take(np.arange(count))
    alone = [
        answers_of(served, {name: values[place : place + 1] for name, values in few.items()}) for place in range(count)
    ]
    widest = 0.0
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
        widest = max(widest, rule, 2 * shown)
    return float(np.float32(widest * 1.0001))


def _recorded(artifact: Artifact, side: str, spec: TensorSpec) -> NDArray[np.generic]:
    """Return the golden rows of one served tensor, shape (rows, ...)."""
    data = artifact.members[f"golden/{side}/{spec.name}"]
    shape = (artifact.manifest.golden.rows, *spec.shape[1:])
    try:
        return np.frombuffer(data, dtype=DTYPES[spec.element]).reshape(shape)
    except ValueError as error:
        raise PackingError(
            f"golden {side} {spec.name!r} does not hold {shape[0]} rows: {error}; pack it again"
        ) from error


def _compare(actual: Mapping[str, NDArray[np.float32]], artifact: Artifact) -> Verified:
    manifest = artifact.manifest
    difference = 0.0
    for spec in manifest.outputs:
        gaps = np.abs(actual[spec.name] - _recorded(artifact, "output", spec).astype(np.float32))
        difference = max(difference, float(gaps.max(initial=0.0)))
    first = manifest.outputs[0]
    expected = _recorded(artifact, "output", first)
    changed = int((actual[first.name].argmax(axis=1) != expected.argmax(axis=1)).sum()) if ranks(expected) else 0
    return Verified(rows=manifest.golden.rows, max_difference=difference, disagreements=changed)
