"""Which tensors of the target are coded, from what in the base, and with which hints: written column by column."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.delta.elements import Kind
from contracts.delta.expecting import ORDERS, Pick, Shape
from contracts.errors import DeltaError

ENTRIES_LIMIT: Final = 20_000
ELEMENTS_LIMIT: Final = 1 << 18
"""Of one entry: what bounds the memory of coding; larger tensors are cut."""
PLAN_LIMIT_BYTES: Final = 1_000_000
_STEPS_LEAST, _STEP_BYTES, _STEPS_MOST = 500, 512, 8_000
"""Taps of all entries together, each at least one step of the coder, some milliseconds: so many, and one more for so
many bytes of the target."""
NONE: Final = -1
TILT_SHIFT_LIMIT: Final = 12
PARTS_LIMIT: Final = 16
PART_SHIFT_LIMIT: Final = 40
_TILTED, _BENT, _FRESH, _FACTORED, _SCALED, _PICKED, _SUMMED = 1, 2, 4, 8, 16, 32, 64
_SLOPE_LIMIT: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor, or a part of a large one.

    ``start`` is its first byte in the target; ``base`` in the base, or NONE where it is coded afresh around ``centre``.
    ``scale`` is the number of the entry that holds its scales, from the element ``row`` on; ``factors`` the numbers of
    the two whose product it is expected to be. ``outputs_of`` and ``inputs_of`` say which channels of a larger tensor
    of the base it kept.
    """

    kind: Kind
    shape: Shape
    start: int
    base: int
    centre: int = 0
    scale: int = NONE
    row: int = 0
    factors: tuple[int, int] | None = None
    tilted: bool = False
    tilt_shift: int = 0
    part_shifts: tuple[int, ...] = ()
    slopes: tuple[int, ...] = ()
    outputs_of: Pick | None = None
    inputs_of: Pick | None = None

    @property
    def picks(self) -> tuple[Pick | None, Pick | None]:
        """Of outputs and of inputs."""
        return self.outputs_of, self.inputs_of

    @property
    def base_length(self) -> int:
        """Bytes in the base."""
        outputs, inputs = (
            size if pick is None else pick.of
            for size, pick in zip((self.shape.outputs, self.shape.inputs), self.picks, strict=True)
        )
        return outputs * inputs * self.shape.taps * self.kind.width

    @property
    def length(self) -> int:
        """Bytes in the target."""
        return self.shape.count * self.kind.width

    @property
    def rank(self) -> int:
        """When it is coded: first what others need."""
        if self.factors is not None:
            return 1
        return 0 if self.kind is Kind.FP32 else 2


def coding_order(entries: Sequence[Entry]) -> list[int]:
    """Return the numbers of the entries in the order that they are coded."""
    return sorted(range(len(entries)), key=lambda number: (entries[number].rank, number))


def write_plan(entries: Sequence[Entry]) -> bytes:
    """Return the bytes of the plan; entries are in the order that they lie in the target."""
    columns: list[list[int]] = [[] for _ in range(14)]
    picks = list(dict.fromkeys(pick for entry in entries for pick in entry.picks if pick is not None))
    end = base_end = 0
    for number, entry in enumerate(entries):
        shape, fresh = entry.shape, entry.base == NONE
        flags = (_TILTED * entry.tilted) | (_BENT * bool(entry.slopes)) | (_FRESH * fresh)
        flags |= (_FACTORED * (entry.factors is not None)) | (_SCALED * (entry.scale != NONE))
        flags |= (_PICKED * any(entry.picks)) | (_SUMMED * bool(entry.part_shifts))
        gap = entry.start - end
        columns[0].append(entry.kind + 8 * shape.order + 32 * flags)
        for column, value in zip(columns[1:6], (shape.outputs, shape.inputs, shape.taps, shape.line, gap), strict=True):
            column.append(value)
        if fresh:
            columns[6].append(entry.centre)
        else:
            columns[6].append(_folded(entry.base - base_end - gap))
            base_end = entry.base + entry.base_length
        if entry.scale != NONE:
            columns[7] += [_folded(entry.scale - number), entry.row]
        for factor in entry.factors or ():
            columns[8].append(_folded(factor - number))
        columns[9] += [_folded(slope) for slope in entry.slopes]
        columns[10] += [0 if pick is None else 1 + picks.index(pick) for pick in entry.picks if any(entry.picks)]
        columns[11] += [entry.tilt_shift] * entry.tilted
        columns[12] += [len(entry.part_shifts)] * bool(entry.part_shifts)
        columns[13] += [_folded(shift) for shift in entry.part_shifts]
        end = entry.start + entry.length
    heads = [len(entries), len(picks), *(number for pick in picks for number in _steps(pick))]
    plain = _numbers(heads) + b"".join(_numbers(column) for column in columns)
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(plain) + packer.flush()


def read_plan(data: bytes, *, base_length: int, length: int) -> tuple[Entry, ...]:
    """Return the entries, checked: in order in the target, within the base, referring to what exists.

    Raises:
        DeltaError: one does not, or there is too much or too little of the plan.
    """
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        plain = unpacker.decompress(data, PLAN_LIMIT_BYTES)
    except zlib.error as error:
        raise DeltaError(f"the delta's plan cannot be read: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise DeltaError("the delta's plan is cut short, too long, or has something after it")
    numbers = _read_numbers(plain)
    count = _next(numbers)
    if count > ENTRIES_LIMIT:
        raise DeltaError(f"the delta names {count} tensors; at most {ENTRIES_LIMIT} are read")
    picks = [_read_pick(numbers) for _ in range(_next(numbers))]
    reader = _Columns(numbers, count, picks)
    entries = tuple(reader.entries(base_length=base_length, length=length))
    if next(numbers, None) is not None:
        raise DeltaError("the delta's plan has something after its last column")
    if steps(entries) > steps_limit(length):
        raise DeltaError(f"the delta takes {steps(entries)} steps; at most {steps_limit(length)} are done")
    for number, entry in enumerate(entries):
        _check_references(number, entry, entries)
    return entries


def steps(entries: Sequence[Entry]) -> int:
    """Return how many steps the coder takes at least."""
    return sum(entry.shape.taps for entry in entries)


def steps_limit(length: int) -> int:
    """Return how many steps are done for a target of that many bytes."""
    return min(_STEPS_LEAST + length // _STEP_BYTES, _STEPS_MOST)


class _Columns:
    """The columns of a plan, read into rows."""

    def __init__(self, numbers: Iterator[int], count: int, picks: Sequence[Pick]) -> None:
        def column(wanted: int) -> list[int]:
            return [_next(numbers) for _ in range(wanted)]

        self._marks = column(count)
        flags = [mark // 32 for mark in self._marks]
        self._sizes = [column(count) for _ in range(5)]
        self._bases = column(count)
        self._scales = iter(column(2 * sum(bool(one & _SCALED) for one in flags)))
        self._factors = iter(column(2 * sum(bool(one & _FACTORED) for one in flags)))
        self._slopes = iter(column(5 * sum(bool(one & _BENT) for one in flags)))
        self._picked = iter(column(2 * sum(bool(one & _PICKED) for one in flags)))
        self._shifts = iter(column(sum(bool(one & _TILTED) for one in flags)))
        self._ranks = column(sum(bool(one & _SUMMED) for one in flags))
        self._part_shifts = iter(column(sum(self._ranks)))
        self._rank = iter(self._ranks)
        self._picks = picks

    def entries(self, *, base_length: int, length: int) -> Iterator[Entry]:
        """Yield the entries."""
        end = base_end = 0
        for number, (mark, base) in enumerate(zip(self._marks, self._bases, strict=True)):
            entry = self._entry(number, mark, end, base=base, base_end=base_end)
            end = entry.start + entry.length
            if end > length:
                raise DeltaError(f"tensor {number} of the delta ends at byte {end} of {length}")
            if entry.base != NONE:
                base_end = entry.base + entry.base_length
                if entry.base_length > ELEMENTS_LIMIT * entry.kind.width:
                    raise DeltaError(f"tensor {number} of the delta is cut from too large a one")
                if entry.base < 0 or base_end > base_length:
                    raise DeltaError(f"tensor {number} of the delta reads outside the base of {base_length} bytes")
            yield entry

    def _entry(self, number: int, mark: int, end: int, *, base: int, base_end: int) -> Entry:
        outputs, inputs, taps, line, gap = (column[number] for column in self._sizes)
        kind, order, flags = mark % 8, mark // 8 % 4, mark // 32
        count = outputs * inputs * taps
        if kind >= len(Kind) or not 0 < count <= ELEMENTS_LIMIT or not 0 < line <= taps or flags >= 128:
            raise DeltaError(f"tensor {number} of the delta has no possible shape")
        fresh = bool(flags & _FRESH)
        if fresh and (base > 0xFF or flags & ~_FRESH):
            raise DeltaError(f"tensor {number} of the delta is coded afresh and yet has hints")
        scale = number + _unfolded(next(self._scales)) if flags & _SCALED else NONE
        outputs_of, inputs_of = (self._pick(number, size) if flags & _PICKED else None for size in (outputs, inputs))
        return Entry(
            kind=Kind(kind),
            shape=Shape(outputs=outputs, inputs=inputs, taps=taps, order=order % len(ORDERS), line=line),
            start=end + gap,
            base=NONE if fresh else base_end + gap + _unfolded(base),
            centre=base if fresh else 0,
            scale=scale,
            row=next(self._scales) if flags & _SCALED else 0,
            factors=self._pair(number) if flags & _FACTORED else None,
            tilted=bool(flags & _TILTED),
            tilt_shift=_within(next(self._shifts), TILT_SHIFT_LIMIT) if flags & _TILTED else 0,
            part_shifts=tuple(self._parts(number, count // (outputs + inputs * taps))) if flags & _SUMMED else (),
            slopes=tuple(_within(_unfolded(next(self._slopes)), _SLOPE_LIMIT) for _ in range(5))
            if flags & _BENT
            else (),
            outputs_of=outputs_of,
            inputs_of=inputs_of,
        )

    def _five(self) -> Iterator[int]:
        for _ in range(5):
            yield _within(_unfolded(next(self._slopes)), _SLOPE_LIMIT)

    def _parts(self, number: int, most: int) -> Iterator[int]:
        rank = next(self._rank)
        if rank > min(PARTS_LIMIT, most):
            raise DeltaError(f"tensor {number} of the delta is told by {rank} products, more than it may be")
        for _ in range(rank):
            yield _within(_unfolded(next(self._part_shifts)), PART_SHIFT_LIMIT)

    def _pick(self, number: int, size: int) -> Pick | None:
        place = next(self._picked)
        if place == 0:
            return None
        if place > len(self._picks) or len(self._picks[place - 1].kept) != size:
            raise DeltaError(f"tensor {number} of the delta keeps channels that do not fit it")
        return self._picks[place - 1]

    def _pair(self, number: int) -> tuple[int, int]:
        return number + _unfolded(next(self._factors)), number + _unfolded(next(self._factors))


def _check_references(number: int, entry: Entry, entries: Sequence[Entry]) -> None:
    """Raise DeltaError where the entry refers to what is not there before it."""

    def require(other: int, fits: Callable[[Entry], bool]) -> None:
        if not 0 <= other < len(entries) or entries[other].kind is not Kind.FP32 or not fits(entries[other]):
            raise DeltaError(f"tensor {number} of the delta refers to tensor {other}, which is none that it can need")

    if entry.scale != NONE:
        rows = entry.row + entry.shape.outputs
        require(
            entry.scale,
            lambda other: (
                other.rank < entry.rank and other.base != NONE and (other.shape.count == 1 or rows <= other.shape.count)
            ),
        )
    for factor in entry.factors or ():
        require(factor, lambda other: other.rank == 0 and other.shape.count in (1, entry.shape.count))
    if entry.factors is not None and entry.kind is not Kind.FP32:
        raise DeltaError(f"tensor {number} of the delta is a product and yet no fp32")


def _steps(pick: Pick) -> Iterator[int]:
    """Yield a pick as numbers: of how many, how many, and how many are left out before each."""
    yield pick.of
    yield len(pick.kept)
    end = 0
    for place in pick.kept:
        yield place - end
        end = place + 1


def _read_pick(numbers: Iterator[int]) -> Pick:
    of, count = _next(numbers), _next(numbers)
    if not 0 < count <= of <= ELEMENTS_LIMIT:
        raise DeltaError(f"the delta keeps {count} channels of {of}")
    kept, end = [], 0
    for _ in range(count):
        kept.append(end + _next(numbers))
        end = kept[-1] + 1
    if end > of:
        raise DeltaError(f"the delta keeps channel {end - 1} of {of}")
    return Pick(of=of, kept=tuple(kept))


def _within(value: int, limit: int) -> int:
    if abs(value) > limit:
        raise DeltaError(f"a number of the delta's plan is {value}, out of range")
    return value


def _folded(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unfolded(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


def _numbers(values: Sequence[int]) -> bytes:
    result = bytearray()
    for value in values:
        rest = value
        while rest > 0x7F:
            result.append(rest & 0x7F | 0x80)
            rest >>= 7
        result.append(rest)
    return bytes(result)


def _read_numbers(data: bytes) -> Iterator[int]:
    value = place = 0
    for byte in data:
        value |= (byte & 0x7F) << place
        place += 7
        if byte < 0x80:
            yield value
            value = place = 0
        elif place > 35:
            raise DeltaError("a number of the delta's plan is too long")


def _next(numbers: Iterator[int]) -> int:
    value = next(numbers, None)
    if value is None:
        raise DeltaError("the delta's plan ends too early")
    return value
