"""Proposals of int8 segments: what adds up to a saving comes first, and the whole network is never one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from optimizer.search.proposing.segments import LayerTime, Segment, neighbours, propose

_TIMES = st.lists(st.tuples(st.floats(0.1, 100.0), st.floats(0.1, 100.0)), min_size=2, max_size=14)


def _layers(*times: tuple[float, float]) -> tuple[LayerTime, ...]:
    return tuple(LayerTime(layer=f"l{place}", float_us=a, int8_us=b) for place, (a, b) in enumerate(times))


def test_the_part_that_gains_comes_first() -> None:
    times = _layers((10, 20), (10, 4), (10, 4), (10, 30))

    found = propose(times, border_us=1.0, wanted=1, least_us=0.0)

    assert found == (Segment(first=1, last=2),)


def test_what_saves_less_than_is_worth_a_try_is_not_proposed() -> None:
    times = _layers((10, 4), (10, 4), (10, 9))

    found = propose(times, border_us=1.0, wanted=4, least_us=13.5)

    assert found == ()


def test_a_gain_smaller_than_its_borders_is_proposed_only_where_profiles_are_doubted() -> None:
    times = _layers((10, 20), (10, 9), (10, 20))

    found = propose(times, border_us=5.0, wanted=4, least_us=-100.0)

    assert found[0] == Segment(first=1, last=1)


def test_two_parts_that_gain_are_two_ideas() -> None:
    times = _layers((10, 2), (10, 2), (10, 90), (10, 90), (10, 2), (10, 2))

    found = propose(times, border_us=0.5, wanted=2, least_us=0.0)

    assert set(found) == {Segment(first=0, last=1), Segment(first=4, last=5)}


@given(_TIMES, st.floats(0.0, 10.0), st.integers(1, 8))
def test_proposals_are_apart_within_bounds_and_never_the_whole(
    times: list[tuple[float, float]], border_us: float, wanted: int
) -> None:
    found = propose(_layers(*times), border_us=border_us, wanted=wanted, least_us=-1e9)

    assert 1 <= len(found) <= wanted
    assert Segment(first=0, last=len(times) - 1) not in found
    assert all(0 <= segment.first <= segment.last < len(times) for segment in found)
    assert len(set(found)) == len(found)


@given(_TIMES, st.floats(0.0, 10.0))
def test_the_first_proposal_saves_no_less_than_any_part(times: list[tuple[float, float]], border_us: float) -> None:
    layers = _layers(*times)
    best = propose(layers, border_us=border_us, wanted=1, least_us=-1e9)[0]

    savings = [
        sum(one.gain_us for one in layers[first : last + 1]) - border_us * ((first > 0) + (last < len(layers) - 1))
        for first in range(len(layers))
        for last in range(first, len(layers))
        if (first, last) != (0, len(layers) - 1)
    ]

    own = sum(one.gain_us for one in layers[best.first : best.last + 1])
    own -= border_us * ((best.first > 0) + (best.last < len(layers) - 1))
    assert own >= max(savings) - 1e-6


@given(st.integers(2, 20), st.data())
def test_neighbours_are_near_and_inside(layers: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, layers - 1))
    segment = Segment(first=first, last=data.draw(st.integers(first, layers - 1)))

    found = neighbours(segment, layers=layers)

    assert segment not in found
    assert all(0 <= one.first <= one.last < layers for one in found)
    assert all(abs(one.first - segment.first) + abs(one.last - segment.last) <= 2 for one in found)
