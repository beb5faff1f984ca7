"""From what the model file answers to what a client gets: the same lines on both sides, as in ``preprocessing``.

The optimizer records golden outputs behind these steps, the agent serves behind them, so an answer means the same
wherever it is given. A step is data (it travels in the artifact's manifest); ``answered`` runs those of one output.
The set is closed: what it cannot say belongs into the model.

Uses numpy, as ``preprocessing`` does (ADR 0002).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from contracts.errors import TensorError
from contracts.preprocessing import along_channels
from contracts.tensors import ElementType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class AnswerStepKind(StrEnum):
    """What a postprocessing step does to one output, row by row."""

    SCALE = "scale"
    """value x factor + offset, per channel of axis 1 where the lists have more than one entry."""
    SOFTMAX = "softmax"
    """Scores along the last axis become shares that sum to 1."""
    SIGMOID = "sigmoid"
    """Each score becomes a share of its own, 0 to 1."""
    TOP_CLASS = "top_class"
    """(n, classes) becomes the index of the largest, the first of equal ones: (n,), INT64. The last step."""
    THRESHOLD = "threshold"
    """Each value becomes whether it is at or above ``threshold``: BOOL. The last step."""

    @property
    def is_choice(self) -> bool:
        """Whether what comes out is a choice, which is right or wrong and not a little off."""
        return self in (AnswerStepKind.TOP_CLASS, AnswerStepKind.THRESHOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStep:
    """One postprocessing step on the served output ``tensor``; ``threshold`` as ``factor``: one, or one a channel."""

    kind: AnswerStepKind
    tensor: str
    factor: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    threshold: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        """Refuse numbers that are none: they would make every answer the same."""
        for name in ("factor", "offset", "threshold"):
            numbers = getattr(self, name)
            if not numbers or not all(map(math.isfinite, numbers)):
                raise ValueError(f"postprocessing of {self.tensor}: {name} {numbers} is not finite numbers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How answers differ from recorded ones.

    ``largest`` is the largest absolute difference of any number, in its output's unit, infinite where an answer is no
    number; ``disagreements`` counts rows in which the first output's top class or any choice is another.
    """

    largest: float
    disagreements: int


def steps_of(steps: Sequence[AnswerStep], tensor: str) -> tuple[AnswerStep, ...]:
    """Return the steps of one served output, in order."""
    return tuple(step for step in steps if step.tensor == tensor)


def answered(steps: Sequence[AnswerStep], tensor: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return what a client gets of one output.

    Args:
        steps: the manifest's postprocessing; those for other tensors are passed over.
        tensor: name of the served output.
        values: the model's answer in real values, shape (n, ...).

    Raises:
        TensorError: a step does not fit the values' shape.
    """
    return chosen(steps, tensor, before_choice(steps, tensor, values))


def before_choice(steps: Sequence[AnswerStep], tensor: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return one output as ``answered`` does, but without the choice at the end: what drift is watched by."""
    for step in steps_of(steps, tensor):
        if not step.kind.is_choice:
            values = _apply(step, values)
    return values


def chosen(steps: Sequence[AnswerStep], tensor: str, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return what ``answered`` makes of one output's values ``before_choice``."""
    for step in steps_of(steps, tensor):
        if step.kind.is_choice:
            values = _apply(step, values)
    return values


def answered_spec(steps: Sequence[AnswerStep], spec: TensorSpec) -> TensorSpec:
    """Return the served output that the steps make of one of real values."""
    for step in steps_of(steps, spec.name):
        if step.kind is AnswerStepKind.TOP_CLASS:
            spec = dataclasses.replace(spec, element=ElementType.INT64, shape=spec.shape[:1])
        elif step.kind is AnswerStepKind.THRESHOLD:
            spec = dataclasses.replace(spec, element=ElementType.BOOL)
        else:
            spec = dataclasses.replace(spec, element=ElementType.FP32)
    return spec


def check_order(steps: Sequence[AnswerStep], outputs: Sequence[str]) -> None:
    """Let steps pass that name served outputs and choose at the end only [artifact-2.2].

    Raises:
        ValueError: a step names no output, or one follows a choice.
    """
    chosen: set[str] = set()
    for step in steps:
        if step.tensor not in outputs:
            raise ValueError(
                f"postprocessing names output {step.tensor!r}; the model gives {', '.join(map(repr, outputs))}"
            )
        if step.tensor in chosen:
            raise ValueError(f"postprocessing of {step.tensor!r}: {step.kind} follows a choice, which is the last step")
        if step.kind.is_choice:
            chosen.add(step.tensor)


def differences(
    steps: Sequence[AnswerStep],
    answers: Mapping[str, NDArray[np.generic]],
    recorded: Mapping[str, NDArray[np.generic]],
) -> Differences:
    """Return how the answers differ from the recorded ones.

    Args:
        steps: the manifest's postprocessing.
        answers: served outputs by name, shape (n, ...).
        recorded: those wanted, of the same shapes, the manifest's first output first.
    """
    largest = 0.0
    wrong = np.zeros(len(next(iter(recorded.values()))), dtype=np.bool_)
    for place, (name, wanted) in enumerate(recorded.items()):
        if any(step.kind.is_choice for step in steps_of(steps, name)):
            wrong |= (answers[name] != wanted).reshape(len(wanted), -1).any(axis=1)
            continue
        gap = np.abs(answers[name].astype(np.float64) - wanted.astype(np.float64))
        largest = max(largest, float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0)))
        if place == 0 and wanted.ndim == 2 and wanted.shape[1] > 1:
            wrong |= answers[name].argmax(axis=1) != wanted.argmax(axis=1)
    return Differences(largest=largest, disagreements=int(wrong.sum()))


def _apply(step: AnswerStep, values: NDArray[np.generic]) -> NDArray[np.generic]:
    real = values.astype(np.float32, copy=False)
    if step.kind is AnswerStepKind.SOFTMAX:
        _require(step, real.ndim >= 2, "(n, ..., classes)", real)
        powers = np.exp(real - real.max(axis=-1, keepdims=True))
        shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
        return shares
    if step.kind is AnswerStepKind.SIGMOID:
        return np.asarray(np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * real))
    if step.kind is AnswerStepKind.TOP_CLASS:
        _require(step, real.ndim == 2, "(n, classes)", real)
        return np.asarray(real.argmax(axis=1), dtype=np.int64)
    if step.kind is AnswerStepKind.THRESHOLD:
        return np.asarray(real >= along_channels(step.tensor, step.threshold, real))
    scaled = real * along_channels(step.tensor, step.factor, real)
    return np.asarray(scaled + along_channels(step.tensor, step.offset, real))


def _require(step: AnswerStep, fits: bool, wanted: str, values: NDArray[np.generic]) -> None:  # noqa: FBT001 - the one thing it asks
    if not fits:
        raise TensorError(f"{step.tensor}: {step.kind} needs {wanted}, got shape {values.shape}")
