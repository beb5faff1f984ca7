"""Numbers of reports: laws of hearing each one once."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from fleet_server.broker.sequence import GAP_LIMIT, GAP_PATIENCE, Heard, hear
from tests.fakes.clock import START

NUMBERS = st.lists(st.integers(1, 60), max_size=80)


def heard_all(numbers: list[int]) -> Heard:
    return reduce(lambda heard, number: hear(heard, number, START), numbers, Heard())


@given(NUMBERS)
def test_what_was_heard_is_known_and_nothing_else(numbers: list[int]) -> None:
    heard = heard_all(numbers)

    assert {number for number in range(1, 62) if heard.has(number)} == set(numbers)


@given(NUMBERS)
def test_nothing_is_missing_up_to_what_may_be_acknowledged(numbers: list[int]) -> None:
    heard = heard_all(numbers)

    assert set(range(1, heard.contiguous + 1)) <= set(numbers)
    assert heard.contiguous + 1 not in numbers


@given(NUMBERS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(numbers: list[int], chance: object) -> None:
    shuffled = sorted(numbers, key=lambda number: hash((number, str(chance))))

    assert heard_all(numbers) == heard_all(shuffled)


def test_a_gap_is_given_up_when_too_many_came_after_it() -> None:
    heard = heard_all([1, *range(3, 3 + GAP_LIMIT)])

    assert heard.contiguous == 1
    assert hear(heard, 3 + GAP_LIMIT, START).contiguous == 3 + GAP_LIMIT


def test_a_gap_is_given_up_when_it_was_open_too_long() -> None:
    heard = hear(heard_all([1, 3]), 4, START + GAP_PATIENCE)

    assert heard.contiguous == 1
    assert hear(heard, 5, START + GAP_PATIENCE + timedelta(seconds=1)).contiguous == 5


def test_a_gap_that_was_filled_is_forgotten() -> None:
    heard = heard_all([1, 3, 2])

    assert heard == Heard(contiguous=3)
