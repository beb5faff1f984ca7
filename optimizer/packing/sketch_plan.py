"""What to watch of a release: chosen by the inputs' shapes, with the reference taken from the user's data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from contracts.features import GRID, class_confidence, feature_of, feature_values
from contracts.sketch import CONFIDENCE_EDGES, Feature, FeatureKind, OutputReference, SketchPlan
from contracts.tensors import TensorSpec
from optimizer.data.rows import Rows
from optimizer.errors import PackingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ELEMENTS = 16
"""Rows of up to this many elements are watched element by element: they are tables."""

_BATCH_ROWS = 256
_IMAGE_RANK = 4
_IMAGE_WORDS = {FeatureKind.MEAN: "brightness", FeatureKind.DEVIATION: "contrast", FeatureKind.EDGES: "sharpness"}
_WORDS = {FeatureKind.MEAN: "mean", FeatureKind.DEVIATION: "deviation", FeatureKind.EDGES: "roughness"}


def plan_sketch(
    inputs: Sequence[TensorSpec],
    reference: Sequence[Rows],
    output: OutputReference,
    *,
    columns: Sequence[str] = (),
) -> SketchPlan:
    """Return the plan for these served inputs.

    Args:
        inputs: what is served.
        reference: rows as clients send them, read batch by batch, one body after the other.
        output: answers on the reference rows.
        columns: names of the elements of an input that is a table; by default ``TENSOR[i]``.

    Raises:
        PackingError: the column names fit no input, or are not distinct.
    """
    _check_columns(inputs, columns)
    features = [feature for spec in inputs for feature in _features(spec, reference, columns)]
    return SketchPlan(features=tuple(features), output=output)


def output_reference(answers: NDArray[np.float32]) -> OutputReference:
    """Return how often each class won and with what confidence, over rows of shape (n, classes)."""
    classes, confidences = class_confidence(answers)
    places = np.searchsorted(np.asarray(CONFIDENCE_EDGES), confidences, side="right")
    return OutputReference(
        class_counts=_counts(classes, answers.shape[1]),
        confidence_counts=_counts(places, len(CONFIDENCE_EDGES) + 1),
    )


def _counts(places: NDArray[np.int64], bins: int) -> tuple[int, ...]:
    return tuple(int(count) for count in np.bincount(places, minlength=bins))


def _check_columns(inputs: Sequence[TensorSpec], columns: Sequence[str]) -> None:
    if not columns:
        return
    if len(set(columns)) != len(columns):
        twice = sorted({name for name in columns if list(columns).count(name) > 1})
        raise PackingError(f"column names must be distinct; {', '.join(twice)} appears more than once")
    if not any(spec.elements_per_row == len(columns) for spec in inputs):
        sizes = ", ".join(f"{spec.name} has {spec.elements_per_row}" for spec in inputs)
        raise PackingError(
            f"{len(columns)} column names fit no input ({sizes} elements a row); give one for each element, or none"
        )


def _features(spec: TensorSpec, reference: Sequence[Rows], columns: Sequence[str]) -> Iterator[Feature]:
    watched = tuple(_watched(spec, columns))
    values: list[list[NDArray[np.float64]]] = [[] for _ in watched]
    for rows in reference:
        for batch in rows.batches(_BATCH_ROWS):
            for found, (_, kind, index) in zip(values, watched, strict=True):
                found.append(feature_values(kind, index, batch[spec.name]))
    for found, (name, kind, index) in zip(values, watched, strict=True):
        yield feature_of(name, spec.name, kind, np.concatenate(found), index=index)


def _watched(spec: TensorSpec, columns: Sequence[str]) -> Iterator[tuple[str, FeatureKind, int]]:
    """Yield name, kind and index of each feature of one input."""
    size = spec.elements_per_row
    if size <= MOST_ELEMENTS:
        named = columns if len(columns) == size else [f"{spec.name}[{place}]" for place in range(size)]
        yield from ((name, FeatureKind.ELEMENT, place) for place, name in enumerate(named))
        return
    is_image = len(spec.shape) == _IMAGE_RANK
    for kind, word in (_IMAGE_WORDS if is_image else _WORDS).items():
        if kind is not FeatureKind.EDGES or spec.shape[-1] > 1:
            yield f"{spec.name}.{word}", kind, 0
    if is_image and min(spec.shape[-2:]) >= GRID:
        for cell in range(GRID * GRID):
            row, column = divmod(cell, GRID)
            yield f"{spec.name}.region-{row}-{column}", FeatureKind.REGION, cell
