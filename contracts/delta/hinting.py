"""What a sender says of how a tensor moved; found by fitting, so the only module that calculates in floating point."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.delta.elements import MANTISSA_BITS, Kind, exponents, is_float
from contracts.delta.expecting import RATIO_BITS, SLOPE_BITS, TILT_BITS, Expected, Hints, Part, Shape
from contracts.delta.lanes import Ints
from contracts.delta.plan import PART_SHIFT_LIMIT, PARTS_LIMIT, TILT_SHIFT_LIMIT

_TILT_LIMIT: Final = (1 << 15) - 1
_PARTS_LEAST: Final = 8
_PART_COST_BITS: Final = 40
_TILT_COST_BITS: Final = 2.5
_QUANTUM: Final = 3.5
"""In deviations of a tilt's estimate: where finer steps would cost more than they save."""
_SLOPE_LIMIT: Final = 127
_SLOPES_COST_BITS: Final = 40
_LENGTH_BITS: Final = 2.5
"""What sign and length of a wide residual take beside its bits."""


def fitted(old: Ints, new: Ints, *, shape: Shape, kind: Kind, ratios: Ints | None) -> tuple[Hints, float]:
    """Return the hints with which the least remains to be said, and about how many bits that is.

    ``ratios`` are those of the scales, if known.
    """
    walk = shape.walk()
    old, new = old[walk], new[walk]
    offered = [Hints()] if ratios is None else [Hints(), Hints(ratios=ratios)]
    if shape.inputs * shape.taps > 1:
        offered += [
            Hints(ratios=one.ratios, tilts=tilts)
            for one in offered
            if (tilts := _tilts(old, new, shape=shape, kind=kind, ratios=one.ratios)) is not None
        ]
    costs = [_cost(old, new, shape=shape, kind=kind, hints=hints) for hints in offered]
    best, least = offered[int(np.argmin(costs))], min(costs)
    for parts in ((), _parts(old, new, shape=shape, kind=kind, hints=best)):
        straight = replace(best, parts=parts, slopes=(0, 0, 0, 0, 0))
        bent = replace(straight, slopes=_slopes(old, new, shape=shape, kind=kind, hints=straight))
        for one in (straight, bent):
            cost = _cost(old, new, shape=shape, kind=kind, hints=one)
            if cost < least:
                best, least = one, cost
    return best, least


def fresh_bits(new: Ints, kind: Kind) -> tuple[float, int]:
    """Return about how many bits the tensor takes without a base, and around what its elements or exponents lie."""
    if is_float(kind):
        exponent = exponents(new, kind)
        centre = int(np.median(exponent))
        return len(new) * (MANTISSA_BITS[kind] + 1.0) + _entropy(exponent), centre
    if not kind.small:
        return float("inf"), 0
    return _entropy(new), int(np.median(new)) + (0 if kind is Kind.UINT8 else 128)


def reals(values: Ints, kind: Kind) -> NDArray[np.float64]:
    """Return the numbers that the ordered integers stand for."""
    if kind is Kind.FP32:
        return np.where(values < 0, (1 << 31) - 1 - values, values).astype("<u4").view("<f4").astype(np.float64)
    if kind is Kind.FP16:
        return np.where(values < 0, (1 << 15) - 1 - values, values).astype("<u2").view("<f2").astype(np.float64)
    return (values - (128 if kind is Kind.UINT8 else 0)).astype(np.float64)


def _tilts(old: Ints, new: Ints, *, shape: Shape, kind: Kind, ratios: Ints | None) -> Ints | None:
    """Return what each channel grew by, by least squares; None where nothing did."""
    before, after = (reals(one, kind) for one in (old, new))
    if not np.isfinite(before).all() or not np.isfinite(after).all():
        return None
    output = np.tile(shape.pairs()[0], shape.taps)
    power = np.bincount(output, before * before, shape.outputs)
    grown = np.bincount(output, before * after, shape.outputs) / np.where(power == 0, 1, power)
    start = 1.0 if ratios is None else ratios / (1 << RATIO_BITS)
    left = after - grown[output] * before
    noise = float((left * left).mean()) + (0.0 if is_float(kind) else 1 / 12)
    quantum = _QUANTUM * (1 << TILT_BITS[kind]) * np.sqrt(noise / max(float(power.mean()), 1e-300))
    shift = int(np.clip(np.floor(np.log2(max(quantum, 1.0))), 0, TILT_SHIFT_LIMIT))
    tilts = np.rint(np.where(power == 0, 0, grown - start) * (1 << TILT_BITS[kind]) / (1 << shift))
    limit = _TILT_LIMIT >> shift
    result = np.clip(tilts, -limit, limit).astype(np.int64) << shift
    return result if result.any() else None


def tilt_shift(tilts: Ints) -> int:
    """Return how many low bits all tilts lack."""
    any_bit = int(np.bitwise_or.reduce(np.abs(tilts)))
    return min((any_bit & -any_bit).bit_length() - 1, TILT_SHIFT_LIMIT) if any_bit else 0


def _neighbours(old: Ints, new: Ints, *, shape: Shape, kind: Kind, hints: Hints) -> NDArray[np.float64]:
    """Return how far elements moved beyond the hints, shape (taps, inputs x outputs)."""
    prospect = _prospect(old, shape=shape, kind=kind, hints=hints)
    prospect.learn(0, shape.count, new)
    return prospect.drift.astype(np.float64).reshape(shape.taps, -1)


def _slopes(old: Ints, new: Ints, *, shape: Shape, kind: Kind, hints: Hints) -> tuple[int, int, int, int, int]:
    """Return by how much elements move with their neighbours, by least squares."""
    if shape.taps == 1:
        return (0, 0, 0, 0, 0)
    drift = _neighbours(old, new, shape=shape, kind=kind, hints=hints)
    line = shape.line
    taps = np.arange(shape.taps)
    first_row, starts = taps[(taps < line) & (taps > 0)], taps[(taps >= line) & (taps % line == 0)]
    inner = taps[(taps >= line) & (taps % line > 0)]
    return (
        *_fit(drift, first_row, (1,)),
        *_fit(drift, starts, (line,)),
        *_fit(drift, inner, (1, line, line + 1)),
    )  # type: ignore[return-value] # one, one and three


def _fit(drift: NDArray[np.float64], taps: NDArray[np.int64], steps: tuple[int, ...]) -> tuple[int, ...]:
    if not len(taps):
        return (0,) * len(steps)
    given = np.stack([drift[taps - step].ravel() for step in steps], axis=1)
    slopes, *_ = np.linalg.lstsq(given, drift[taps].ravel(), rcond=None)
    return tuple(int(one) for one in np.clip(np.rint(slopes * (1 << SLOPE_BITS)), -_SLOPE_LIMIT, _SLOPE_LIMIT))


def _cost(old: Ints, new: Ints, *, shape: Shape, kind: Kind, hints: Hints) -> float:
    """Return about how many bits the tensor takes with these hints."""
    prospect = _prospect(old, shape=shape, kind=kind, hints=hints)
    prospect.learn(0, shape.count, new)
    one_tap = shape.outputs * shape.inputs
    expected = np.concatenate([prospect.block(at, at + one_tap)[0] for at in range(0, shape.count, one_tap)])
    cost = 0.0 if hints.tilts is None else _tilt_bits(hints.tilts)
    cost += _SLOPES_COST_BITS if any(hints.slopes) else 0
    cost += sum(_part_bits(part) for part in hints.parts)
    if is_float(kind):
        away = np.concatenate(
            [prospect.distance(at, at + one_tap, new[at : at + one_tap]) for at in range(0, shape.count, one_tap)]
        )
        steps = exponents(new, kind) * 16 - prospect.floor
        return cost + float(np.log2(away + 1.0).sum() - steps.sum() / 16) + _LENGTH_BITS * len(away)
    away = np.abs(new - expected)
    if kind is Kind.INT32:
        return cost + float(np.log2(away + 1.0).sum()) + _LENGTH_BITS * len(away)
    return cost + _entropy(np.minimum(new - expected + 256, 511))


def _parts(old: Ints, new: Ints, *, shape: Shape, kind: Kind, hints: Hints) -> tuple[Part, ...]:
    """Return the products that take less to say than they save."""
    columns = shape.inputs * shape.taps
    most = min(PARTS_LIMIT, shape.count // (shape.outputs + columns))
    drift = _neighbours(old, new, shape=shape, kind=kind, hints=hints).reshape(shape.taps, -1)
    if most < 1 or min(shape.outputs, columns) < _PARTS_LEAST or np.abs(drift).max() > 2.0**50:
        return ()
    output, given = shape.pairs()
    cube = np.zeros((shape.outputs, shape.taps, shape.inputs))
    cube[output, :, given] = drift.T
    table = cube.reshape(shape.outputs, columns)
    left, sizes, right = np.linalg.svd(table, full_matrices=False)
    power = float((sizes * sizes).sum())
    result: list[Part] = []
    for rank in range(min(most, len(sizes) - 1)):
        rest = power - float(sizes[rank]) ** 2
        if rest <= 0 or sizes[rank] <= 0:
            break
        part = _part(left[:, rank], right[rank], float(sizes[rank]), float(np.sqrt(rest / shape.count)))
        if part is None or shape.count * np.log2(power / rest) / 2 < _part_bits(part):
            break
        result.append(part)
        power = rest
    return tuple(result)


def _part(left: NDArray[np.float64], right: NDArray[np.float64], size: float, noise: float) -> Part | None:
    """Return the product in whole numbers, as coarse as the noise that is left allows."""
    quantum = _QUANTUM * max(noise, 1e-6)
    shift = int(np.clip(np.rint(np.log2(quantum * quantum / size)), -PART_SHIFT_LIMIT, PART_SHIFT_LIMIT))
    scale = np.sqrt(size / 2.0**shift)
    outputs, columns = (np.rint(one * scale).astype(np.int64) for one in (left, right))
    if max(np.abs(outputs).max(), np.abs(columns).max()) > _TILT_LIMIT:
        return None
    return Part(outputs=outputs, columns=columns, shift=shift)


def _part_bits(part: Part) -> float:
    return sum(_entropy(one) for one in (part.outputs, part.columns)) + _PART_COST_BITS


def _tilt_bits(tilts: Ints) -> float:
    return float(np.log2(np.abs(tilts >> tilt_shift(tilts)) + 1.0).sum() + _TILT_COST_BITS * len(tilts))


def _entropy(values: Ints) -> float:
    """Return the bits of the values if each were coded by how often it occurs."""
    counts = np.bincount(np.clip(values - values.min(), 0, 4096))
    shares = counts[counts > 0] / len(values)
    return -len(values) * float((shares * np.log2(shares)).sum())


def _prospect(old: Ints, *, shape: Shape, kind: Kind, hints: Hints) -> Expected:
    return Expected(old, shape=shape, kind=kind, hints=hints, output=np.tile(shape.pairs()[0], shape.taps))
