"""What a sender says of how a tensor moved; found by fitting, so the only module that calculates in floating point."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.delta.elements import MANTISSA_BITS, Kind, exponents, is_float
from contracts.delta.expecting import RATIO_BITS, SLOPE_BITS, TILT_BITS, Expected, Hints, Shape
from contracts.delta.lanes import Ints

_TILT_LIMIT: Final = (1 << 15) - 1
_TILT_COST_BITS: Final = 9
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
    slopes = _slopes(old, new, shape=shape, kind=kind, hints=best)
    bent = Hints(ratios=best.ratios, tilts=best.tilts, slopes=slopes)
    cost = _cost(old, new, shape=shape, kind=kind, hints=bent)
    return (bent, cost) if cost < least else (best, least)


def fresh_bits(new: Ints, kind: Kind) -> tuple[float, int]:
    """Return about how many bits the tensor takes without a base, and around what its elements or exponents lie."""
    if is_float(kind):
        exponent = exponents(new, kind)
        centre = int(np.median(exponent))
        return len(new) * (MANTISSA_BITS[kind] + 1.0) + _entropy(exponent), centre
    if not kind.small:
        return float("inf"), 0
    return _entropy(new), int(np.median(new)) + (0 if kind is Kind.UINT8 else 128)


def _reals(values: Ints, kind: Kind) -> NDArray[np.float64]:
    if kind is Kind.FP32:
        return np.where(values < 0, (1 << 31) - 1 - values, values).astype("<u4").view("<f4").astype(np.float64)
    if kind is Kind.FP16:
        return np.where(values < 0, (1 << 15) - 1 - values, values).astype("<u2").view("<f2").astype(np.float64)
    return (values - (128 if kind is Kind.UINT8 else 0)).astype(np.float64)


def _tilts(old: Ints, new: Ints, *, shape: Shape, kind: Kind, ratios: Ints | None) -> Ints | None:
    """Return what each channel grew by, by least squares; None where nothing did."""
    before, after = (_reals(one, kind) for one in (old, new))
    if not np.isfinite(before).all() or not np.isfinite(after).all():
        return None
    output = np.tile(shape.pairs()[0], shape.taps)
    power = np.bincount(output, before * before, shape.outputs)
    grown = np.bincount(output, before * after, shape.outputs) / np.where(power == 0, 1, power)
    start = 1.0 if ratios is None else ratios / (1 << RATIO_BITS)
    tilts = np.rint(np.where(power == 0, 0, grown - start) * (1 << TILT_BITS[kind]))
    result = np.clip(tilts, -_TILT_LIMIT, _TILT_LIMIT).astype(np.int64)
    return result if result.any() else None


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
    cost = 0.0 if hints.tilts is None else float(_TILT_COST_BITS * shape.outputs)
    cost += _SLOPES_COST_BITS if any(hints.slopes) else 0
    away = np.abs(new - expected)
    if is_float(kind) or kind is Kind.INT32:
        return cost + float(np.log2(away + 1.0).sum()) + _LENGTH_BITS * len(away)
    return cost + _entropy(np.minimum(new - expected + 256, 511))


def _entropy(values: Ints) -> float:
    """Return the bits of the values if each were coded by how often it occurs."""
    counts = np.bincount(np.clip(values - values.min(), 0, 4096))
    shares = counts[counts > 0] / len(values)
    return -len(values) * float((shares * np.log2(shares)).sum())


def _prospect(old: Ints, *, shape: Shape, kind: Kind, hints: Hints) -> Expected:
    return Expected(old, shape=shape, kind=kind, hints=hints, output=np.tile(shape.pairs()[0], shape.taps))
