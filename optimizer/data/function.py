"""Data that a function of the user's returns; naming the function is the consent to run it.

It takes no argument and returns one of

    a ``Dataset``
    arrays by name       as in a ``.npz`` file: split (``calibration/TENSOR``) or not (``TENSOR``, ``label``)
    ``(rows, label)``    an array, or arrays by input, and the label of each row
    samples, one by one  ``(inputs, label)`` or ``inputs``, each an array or arrays by input; or batches of them

Samples are kept in a spool, not in memory. A label is a class index, a quantity, a class name, or an array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.data.dataset import Dataset
from optimizer.data.labels import LabelColumn
from optimizer.data.named import data_of_named
from optimizer.data.rows import ArrayRows, RowForm
from optimizer.data.splits import Body, DataOptions, split_body
from optimizer.data.spool import SpooledRows
from optimizer.errors import DatasetError
from optimizer.user_function import call_user, user_function

_END: Final = object()
_FORMS: Final = "return a Dataset, arrays by name, (rows, label), or samples one by one"


def data_of_function(where: str, inputs: tuple[TensorSpec, ...], options: DataOptions) -> Dataset:
    """Return what the function gives as a data set.

    Raises:
        DatasetError: it can't be imported, raised, or returned nothing that is data for the inputs.
    """
    function = user_function(where, error=DatasetError)
    found = call_user(function, error=DatasetError)
    if isinstance(found, Dataset):
        return found
    if isinstance(found, Mapping):
        arrays = {str(name): _array(values, str(name)) for name, values in found.items()}
        return data_of_named(arrays, inputs, options)
    if isinstance(found, tuple) and len(found) == 2:
        rows = ArrayRows(_by_input(found[0], inputs))
        label = None if found[1] is None else _array(found[1], "label")
        return split_body(Body(rows=rows, label=label), options)
    if isinstance(found, np.ndarray) or hasattr(found, "__array__"):
        return split_body(Body(rows=ArrayRows(_by_input(found, inputs))), options)
    if not isinstance(found, Iterable) and not hasattr(found, "__getitem__"):
        raise DatasetError(f"returned {type(found).__name__}; {_FORMS}")
    return split_body(_spooled(found, inputs, where.rpartition(":")[2]), options)


def _spooled(samples: object, inputs: tuple[TensorSpec, ...], name: str) -> Body:
    """Return the samples, kept as they came."""
    spool: SpooledRows | None = None
    labels, labelled = LabelColumn(), False
    for number, sample in enumerate(_drawn(samples, name), 1):
        try:
            rows, label = _sample(sample, inputs)
            if spool is None:
                forms = {name: RowForm(dtype=array.dtype, shape=array.shape[1:]) for name, array in rows.items()}
                spool, labelled = SpooledRows("the samples", forms), label is not None
            _check_forms(rows, spool.forms)
            _add_labels(labels, label, labelled=labelled)
        except DatasetError as error:
            raise DatasetError(f"sample {number}: {error}") from error
        spool.extend(rows)
    if spool is None:
        raise DatasetError(f"returned no sample; {_FORMS}")
    label, words = labels.result() if labelled else (None, ())
    return Body(rows=spool.rows(), label=label, labels=words)


def _add_labels(labels: LabelColumn, found: Iterable[object] | None, *, labelled: bool) -> None:
    if labelled != (found is not None):
        has = "it has no label, but others have" if labelled else "it has a label, others have none"
        raise DatasetError(f"{has}; give every sample one, or none")
    for label in found if found is not None else ():
        labels.add(label)


def _drawn(samples: object, name: str) -> Iterator[object]:
    """Yield the samples; what drawing one raises is one line that names the function."""

    def begin() -> object:
        return iter(samples)  # type: ignore[call-overload] # what has only __getitem__ can be drawn from too

    def draw() -> object:
        return next(begun, _END)  # type: ignore[call-overload] # what iter returned

    begin.__name__ = draw.__name__ = name
    begun = call_user(begin, error=DatasetError)
    while (sample := call_user(draw, error=DatasetError)) is not _END:
        yield sample


def _sample(
    sample: object, inputs: tuple[TensorSpec, ...]
) -> tuple[dict[str, NDArray[np.generic]], Iterable[object] | None]:
    """Return a sample as a batch: rows by input, and their labels or None."""
    given, label = sample if isinstance(sample, tuple | list) and len(sample) == 2 else (sample, None)
    rows = _by_input(given, inputs)
    ranks = {name: array.ndim for name, array in rows.items()}
    if all(ranks[spec.name] == len(spec.shape) for spec in inputs if spec.name in ranks):
        return rows, None if label is None else list(_array(label, "label"))
    return {name: array[np.newaxis] for name, array in rows.items()}, None if label is None else [_one_label(label)]


def _one_label(label: object) -> object:
    return label if isinstance(label, str | int | float) else _array(label, "label")


def _by_input(given: object, inputs: tuple[TensorSpec, ...]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays by the names of the inputs.

    Raises:
        DatasetError: one is missing or no array.
    """
    if not isinstance(given, Mapping):
        if len(inputs) > 1:
            names = ", ".join(spec.name for spec in inputs)
            raise DatasetError(f"the model takes {names}; return a mapping of those names to arrays")
        given = {inputs[0].name: given}
    missing = [spec.name for spec in inputs if spec.name not in given]
    if missing:
        known = ", ".join(map(str, given)) or "nothing"
        raise DatasetError(f"there is no {missing[0]!r} (there is {known}); name the arrays as the model's inputs")
    return {spec.name: _array(given[spec.name], spec.name) for spec in inputs}


def _array(values: object, name: str) -> NDArray[np.generic]:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # torch raises the last for a tensor that needs a gradient
        raise DatasetError(f"{name} is no array: {str(error)[:120]}") from error
    if array.dtype.hasobject:
        raise DatasetError(f"{name} is no array of numbers, but of {type(values).__name__}; give equal shapes")
    return array


def _check_forms(rows: Mapping[str, NDArray[np.generic]], forms: Mapping[str, RowForm]) -> None:
    for name, form in forms.items():
        if rows[name].dtype != form.dtype or rows[name].shape[1:] != form.shape:
            raise DatasetError(
                f"{name} is {rows[name].dtype} {rows[name].shape[1:]}, the first one is {form.dtype} {form.shape}; "
                "give all of one type and shape"
            )
