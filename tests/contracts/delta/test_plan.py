"""A plan says what it said, and what is impossible is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.delta.elements import Kind
from contracts.delta.expecting import Pick, Shape
from contracts.delta.plan import ELEMENTS_LIMIT, Entry, read_plan, steps_limit, write_plan
from contracts.errors import DeltaError

LEFT = Pick(of=8, kept=(0, 2, 3, 7))
ENTRY = Entry(
    kind=Kind.INT8,
    shape=Shape(outputs=4, inputs=6, taps=1, order=0, line=1),
    start=10,
    base=5,
    tilted=True,
    tilt_shift=3,
    part_shifts=(-4, 9),
    slopes=(1, -2, 3, 0, 5),
    outputs_of=LEFT,
)


def read(entry: Entry) -> tuple[Entry, ...]:
    return read_plan(write_plan([entry]), base_length=53, length=40)


def test_a_plan_says_what_it_said() -> None:
    assert read(ENTRY) == (ENTRY,)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (replace(ENTRY, base=6), "outside the base"),
        (replace(ENTRY, outputs_of=Pick(of=7, kept=LEFT.kept)), "keeps channel 7 of 7"),
        (replace(ENTRY, outputs_of=Pick(of=8, kept=(0, 1, 2))), "do not fit"),
        (replace(ENTRY, outputs_of=Pick(of=ELEMENTS_LIMIT, kept=LEFT.kept)), "too large a one"),
        (replace(ENTRY, part_shifts=(1, 2, 3)), "3 products"),
        (replace(ENTRY, part_shifts=(99,)), "out of range"),
        (replace(ENTRY, tilt_shift=60), "out of range"),
        (replace(ENTRY, slopes=(128, 0, 0, 0, 0)), "out of range"),
    ],
)
def test_what_is_impossible_is_refused(entry: Entry, reason: str) -> None:
    with pytest.raises(DeltaError, match=reason):
        read(entry)


def test_steps_are_few_where_the_target_is_short() -> None:
    assert steps_limit(20_000) < 600 < steps_limit(1 << 20) < steps_limit(64 << 20) == 8_000
