"""Tensors by name as a data set: split ones as they are, others under the names of the model's inputs and a label.

TENSOR               one row after the other, for each input of the model
x                    the same, for a model of one input
label                or ``target``, ``class``, ``y``: of each row; optional
labels, columns      names of the classes, of the elements of a row; optional
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.tensors import TensorSpec
from optimizer.data.dataset import SPLITS, Dataset, dataset_of_splits, whole, words_of
from optimizer.data.labels import find_label
from optimizer.data.rows import ArrayRows, Tensor
from optimizer.data.splits import Body, DataOptions, split_body
from optimizer.errors import DatasetError


def data_of_named(tensors: Mapping[str, Tensor], inputs: tuple[TensorSpec, ...], options: DataOptions) -> Dataset:
    """Return the data set of these tensors; others than those that are named above are passed over.

    Raises:
        DatasetError: an input is missing, or the numbers of rows differ.
    """
    if any(key.startswith(f"{split}/") for key in tensors for split in SPLITS):
        return dataset_of_splits(tensors)
    places = {spec.name: spec.name for spec in inputs}
    if len(inputs) == 1 and inputs[0].name not in tensors:
        places = {inputs[0].name: "x"}
    missing = [name for name, key in places.items() if key not in tensors]
    if missing:
        raise DatasetError(
            f"has no array {missing[0]!r} for the model's input (it has {', '.join(tensors) or 'none'}); name the "
            f"arrays {', '.join(places)} and label, or write calibration/TENSOR and holdout/TENSOR"
        )
    others = tuple(key for key in tensors if key not in places.values())
    label = find_label(others, options.label)
    body = Body(
        rows=ArrayRows({name: tensors[key] for name, key in places.items()}),
        label=whole(tensors[label]) if label else None,
        labels=words_of(tensors, "labels"),
        columns=words_of(tensors, "columns"),
    )
    return split_body(body, options)
