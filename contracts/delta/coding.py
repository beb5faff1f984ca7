"""The tensors of a delta, one after the other, through one coder: the same walk for making and for applying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from contracts.delta.elements import MANTISSA_BITS, Kind, bytes_of, values_of
from contracts.delta.expecting import Hints, Part, scale_ratios
from contracts.delta.lanes import BitDecoder, BitEncoder, Bits, FieldReader, Ints, write_fields
from contracts.delta.plan import NONE, Entry, coding_order
from contracts.delta.tensors import TensorCoder
from contracts.errors import DeltaError

_BITS_PER_LANE = 16_384
_LANES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def encode_tensors(
    entries: Sequence[Entry],
    base: bytes,
    target: bytes,
    *,
    tilts: Mapping[int, Ints],
    parts: Mapping[int, tuple[Part, ...]],
) -> tuple[int, bytes, bytes]:
    """Return the number of lanes, the coded bits and the raw bits of the entries; tilts and parts are by entry."""
    bits = BitEncoder()
    walk = _Walk(entries, base, bits, raw=None)
    for number in coding_order(entries):
        entry = entries[number]
        known = values_of(target[entry.start : entry.start + entry.length], entry.kind)
        walk.code(number, known, tilts.get(number), parts.get(number, ()))
    wanted = bits.count // _BITS_PER_LANE
    lanes = max(one for one in _LANES if one <= max(wanted, 1))
    return lanes, bits.finish(lanes), write_fields(walk.coder.rest)


def decode_tensors(entries: Sequence[Entry], base: bytes, *, lanes: int, coded: bytes, raw: bytes) -> dict[int, bytes]:
    """Return the bytes of each entry.

    Raises:
        DeltaError: the streams are not those of these entries.
    """
    bits, fields = BitDecoder(coded, lanes), FieldReader(raw)
    walk = _Walk(entries, base, bits, raw=fields)
    for number in coding_order(entries):
        walk.code(number, None, None, ())
    bits.finish()
    fields.finish()
    return {number: bytes_of(values, entries[number].kind) for number, values in walk.done.items()}


class _Walk:
    """What was coded so far."""

    def __init__(self, entries: Sequence[Entry], base: bytes, bits: Bits, *, raw: FieldReader | None) -> None:
        self._entries = entries
        self._base = base
        self._raw = raw
        self.coder = TensorCoder(bits, raw)
        self.done: dict[int, Ints] = {}

    def code(self, number: int, known: Ints | None, tilts: Ints | None, parts: tuple[Part, ...]) -> None:
        """Code one entry; all it refers to is done."""
        entry = self._entries[number]
        if entry.base == NONE:
            self.done[number] = self._fresh(entry, known)
            return
        if entry.tilted:
            coarse = None if tilts is None else tilts >> entry.tilt_shift
            tilts = self.coder.code_tilts(coarse, count=entry.shape.outputs) << entry.tilt_shift
        hints = Hints(
            ratios=self._ratios(entry) if entry.scale != NONE else None,
            tilts=tilts if entry.tilted else None,
            slopes=_five(entry.slopes),
            parts=self._parts(entry, parts),
        )
        old = self._product(entry) if entry.factors else self._old(entry)
        self.done[number] = self.coder.code(old, known, shape=entry.shape, kind=entry.kind, hints=hints)

    def _parts(self, entry: Entry, known: tuple[Part, ...]) -> tuple[Part, ...]:
        shape = entry.shape
        result = []
        for place, shift in enumerate(entry.part_shifts):
            sides: list[Ints | None] = [None, None] if not known else [known[place].outputs, known[place].columns]
            sizes = (shape.outputs, shape.inputs * shape.taps)
            outputs, columns = (
                self.coder.code_part(side, count=size, place=place) for side, size in zip(sides, sizes, strict=True)
            )
            result.append(Part(outputs=outputs, columns=columns, shift=shift))
        return tuple(result)

    def _old(self, entry: Entry) -> Ints:
        return old_values(self._base, entry)

    def _ratios(self, entry: Entry) -> Ints:
        scale = self._entries[entry.scale]
        ratios = scale_ratios(self._old(scale), self.done[entry.scale])
        count = entry.shape.outputs
        return np.repeat(ratios, count) if len(ratios) == 1 else ratios[entry.row : entry.row + count]

    def _product(self, entry: Entry) -> Ints:
        first, second = (self.done[factor] for factor in entry.factors or ())
        with np.errstate(all="ignore"):
            product = _floats(first) * _floats(second)
        if np.isnan(product).any():
            raise DeltaError("a tensor of the delta is expected to be the product of no numbers")
        return values_of(np.broadcast_to(product, entry.shape.count).astype("<f4").tobytes(), Kind.FP32)

    def _fresh(self, entry: Entry, known: Ints | None) -> Ints:
        """Code a tensor that the base has nothing for: floats as exponents and the rest."""
        kind, count = entry.kind, entry.shape.count
        mantissa = MANTISSA_BITS.get(kind)
        centre = np.full(count, entry.centre, np.int64)
        if mantissa is None:
            if not kind.small:
                raise DeltaError("a tensor of wide integers is coded afresh, which there is no way for")
            old = centre if kind is Kind.UINT8 else centre - 128
            return self.coder.code(old, known, shape=entry.shape, kind=kind, hints=Hints())
        pattern = None if known is None else np.where(known < 0, -1 - known, known)
        exponent = None if pattern is None else pattern >> mantissa
        exponent = self.coder.code(centre, exponent, shape=entry.shape, kind=Kind.UINT8, hints=Hints())
        if self._raw is None or known is not None:
            known = np.zeros(count, np.int64) if known is None else known
            rest = (known & ((1 << mantissa) - 1)) | np.where(known < 0, 1 << mantissa, 0)
            self.coder.rest.append((rest, np.full(count, mantissa + 1, np.int64)))
            return known
        rest = self._raw.read(np.full(count, mantissa + 1, np.int64))
        size = (exponent << mantissa) | (rest & ((1 << mantissa) - 1))
        return np.where(rest >> mantissa == 1, -1 - (size ^ ((1 << mantissa) - 1)), size)


def old_values(base: bytes, entry: Entry) -> Ints:
    """Return what the base has in the entry's place."""
    values = values_of(base[entry.base : entry.base + entry.base_length], entry.kind)
    outputs, inputs = entry.picks
    if outputs is None and inputs is None:
        return values
    return values[entry.shape.places(outputs=outputs, inputs=inputs)]


def _five(slopes: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    if not slopes:
        return (0, 0, 0, 0, 0)
    left, upper, inner_left, inner_upper, between = slopes
    return (left, upper, inner_left, inner_upper, between)


def _floats(values: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.frombuffer(bytes_of(values, Kind.FP32), "<f4")
