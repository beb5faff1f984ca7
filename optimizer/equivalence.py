"""Whether a conversion kept what the model computes, and where it stopped doing so.

Both models run on a few rows. Where an output differs by more than the tolerance, they run once more with every
inner tensor kept, and the first one that differs, in the file's order and on the way to that output, is named.
Tensors pair by name: converters keep the names of what they keep. A TFLite file's may lie in another layout.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from contracts.preprocessing import Step, apply_steps, to_stored
from optimizer.errors import EquivalenceLost
from optimizer.formats.inner_tensors import Inside, look_inside
from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from optimizer.served import Served

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE_RATIO: Final = 1e-4
"""Float conversions differ by 1e-7 to 1e-5 of a tensor's scale (order of sums); a wrong weight by far more."""
_SMALLEST_SCALE: Final = 1e-6
_MOST_AXES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """The largest difference over all outputs and rows, as a share of that output's largest absolute value."""

    output: str
    error_ratio: float
    tolerance: float
    rows: int

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"equal within {self.error_ratio:.1e} of {self.output!r} over {self.rows} rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first inner tensor that differs: its name, what gives it, and by how much of its own scale."""

    tensor: str
    operator: str
    error_ratio: float


def check_equivalence(
    before: Model, after: Model, rows: Mapping[str, NDArray[np.generic]], *, tolerance: float = TOLERANCE_RATIO
) -> Equivalence:
    """Return how alike the two models answer.

    Args:
        before: the model that went into a conversion.
        after: what came out of it; its adapter continues that of ``before``.
        rows: by the names of ``before``'s inputs, real values as it takes them, shape (n, ...); a few will do.
        tolerance: largest difference of an output, as a share of its own largest absolute value.

    Raises:
        EquivalenceLost: an output differs by more; names the first inner tensor that does.
        MeasureFailed: a runtime refuses one of the models.
        LibraryMissing: a format's runtime is not installed.
    """
    steps = after.adapter[len(before.adapter) :]
    wanted, given = _answers(before, before, (), rows), _answers(after, before, steps, rows)
    errors = {name: error_ratio(wanted[name], given[name]) for name in wanted}
    worst = max(errors, key=lambda name: errors[name])
    count = min(len(values) for values in rows.values())
    if errors[worst] <= tolerance:
        return Equivalence(output=worst, error_ratio=errors[worst], tolerance=tolerance, rows=count)
    wrong = [place for place, name in enumerate(errors) if not errors[name] <= tolerance]
    row = _worst_row(wanted[worst], given[worst])
    found = locate(before, after, {name: values[row : row + 1] for name, values in rows.items()}, wrong, tolerance)
    raise EquivalenceLost(
        f"the converted {before.name} answers differently: output {worst!r} by {errors[worst]:.1e} of its scale (at "
        f"most {tolerance:.0e} is accepted); {_told(found)}; leave this conversion out, and report it",
        output=worst,
        tensor=found.tensor if found else "",
        error_ratio=errors[worst],
    )


def sample_rows(model: Model, *, count: int = 4, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Return seeded rows for a model without data: normal numbers, and 0 or 1 where integers are taken."""
    chance = np.random.default_rng(seed)
    return {
        spec.name: chance.standard_normal((count, *spec.shape[1:]), dtype=np.float32)
        if spec.element.is_float or spec.quantization is not None
        else chance.integers(0, 2, size=(count, *spec.shape[1:]))
        for spec in model.inputs
    }


def error_ratio(wanted: NDArray[np.generic], given: NDArray[np.generic]) -> float:
    """Return the largest difference over the largest wanted value; infinite where shapes, NaN or infinities differ.

    >>> error_ratio(np.array([1.0, -4.0]), np.array([1.0, -3.0]))
    0.25
    """
    if wanted.shape != given.shape:
        return float("inf")
    exact, other = wanted.astype(np.float64), given.astype(np.float64)
    finite = np.isfinite(exact)
    if not np.array_equal(exact[~finite], other[~finite], equal_nan=True) or not np.isfinite(other[finite]).all():
        return float("inf")
    scale = max(float(np.abs(exact[finite]).max(initial=0.0)), _SMALLEST_SCALE)
    return float(np.abs(exact[finite] - other[finite]).max(initial=0.0) / scale)


def locate(
    before: Model, after: Model, row: Mapping[str, NDArray[np.generic]], outputs: list[int], tolerance: float
) -> Divergence | None:
    """Return the first tensor of ``before`` that differs in ``after``, all that it is made of being equal.

    Args:
        before: the model that went in.
        after: what came out.
        row: one row, by the names of ``before``'s inputs.
        outputs: places of the outputs that differ; what does not lead to one of them is passed over.
        tolerance: largest difference, as a share of the tensor's own largest absolute value.
    """
    steps = after.adapter[len(before.adapter) :]
    batch = max(1, before.fixed_batch, after.fixed_batch)
    first = look_inside(before, _own_inputs(before, before, (), row, batch))
    second = look_inside(after, _own_inputs(after, before, steps, row, batch))
    errors = dict(_paired_errors(first, second, any_layout=after.format is Format.TFLITE))
    differs = {name for name, error in errors.items() if not error <= tolerance}
    reached = _tainted(first, differs, equal=errors.keys() - differs)
    ends = [first.outputs[place] for place in outputs]
    for name in _leading_to(first, ends, reached):
        sources = first.tensors[name].sources
        if name in differs and not any(source in reached for source in sources):
            return Divergence(tensor=name, operator=first.tensors[name].operator, error_ratio=errors[name])
    return None


def _answers(
    model: Model, original: Model, steps: tuple[Step, ...], rows: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.float32]]:
    session = open_session(model)
    served = Served(model=model, session=session, inputs=original.inputs, outputs=original.outputs, steps=steps)
    return served.infer(rows)


def _own_inputs(
    model: Model, original: Model, steps: tuple[Step, ...], row: Mapping[str, NDArray[np.generic]], batch: int
) -> dict[str, NDArray[np.generic]]:
    """Return the row in the model's own tensors, repeated to the batch that both models can take."""
    return {
        own.name: to_stored(apply_steps(steps, spec.name, np.repeat(row[spec.name], batch, axis=0)), own)
        for spec, own in zip(original.inputs, model.inputs, strict=True)
    }


def _paired_errors(first: Inside, second: Inside, *, any_layout: bool) -> Iterator[tuple[str, float]]:
    """Yield the error of each tensor that both have, outputs by place and the rest by name."""
    names = {name: name for name in first.tensors if name in second.tensors}
    names |= dict(zip(first.outputs, second.outputs, strict=True))
    for name in first.tensors:
        if name not in names or names[name] not in second.tensors:
            continue
        wanted, given = first.tensors[name].values, second.tensors[names[name]].values
        if wanted.size == given.size:
            layouts = _layouts(wanted, given) if any_layout else iter([(wanted, given)])
            yield name, min(error_ratio(one, other) for one, other in layouts)


def _layouts(
    wanted: NDArray[np.generic], given: NDArray[np.generic]
) -> Iterator[tuple[NDArray[np.generic], NDArray[np.generic]]]:
    """Yield the pair as it is and in each order of axes that fits; a flattened image also without any order."""
    yield wanted.reshape(-1), given.reshape(-1)
    flat, other = wanted.squeeze(), given.squeeze()
    if flat.ndim == other.ndim <= _MOST_AXES:
        for order in itertools.permutations(range(other.ndim)):
            if tuple(other.shape[axis] for axis in order) == flat.shape:
                yield flat, other.transpose(order)
    if flat.ndim <= 1:
        yield np.sort(flat.reshape(-1)), np.sort(other.reshape(-1))


def _tainted(inside: Inside, differs: set[str], *, equal: set[str]) -> set[str]:
    """Return the tensors that differ, and those without a partner that are made of such."""
    found: set[str] = set()
    for name, tensor in inside.tensors.items():
        if name in differs or (name not in equal and any(source in found for source in tensor.sources)):
            found.add(name)
    return found


def _leading_to(inside: Inside, ends: list[str], tainted: set[str]) -> list[str]:
    """Return the tainted tensors from which a tainted way leads to one of the ends, in the file's order."""
    waiting, seen = [end for end in ends if end in inside.tensors], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(source for source in inside.tensors[name].sources if source in tainted)
    return [name for name in inside.tensors if name in seen]


def _worst_row(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> int:
    if wanted.shape != given.shape:
        return 0
    errors = np.abs(wanted.astype(np.float64) - given).reshape(len(wanted), -1).max(axis=1, initial=0.0)
    return int(np.argmax(np.nan_to_num(errors, nan=np.inf, posinf=np.inf)))


def _told(found: Divergence | None) -> str:
    if found is None:
        return "no inner tensor that both models have differs before it"
    return (
        f"the first tensor that differs is {found.tensor!r} ({found.operator}), by {found.error_ratio:.1e} of its "
        "scale, and all that it is made of is equal"
    )
