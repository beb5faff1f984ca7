"""What is on its way is not asked for again; what is lost is, in its time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.delivery.window import LONGEST_BACKOFF_S, MOST_BYTES, START, Timeout, Window

CHUNK = 65_536


def _window(*, first_s: float = 5.0, most: int = 16) -> Window:
    return Window(Timeout(first_s=first_s, chance=random.Random(7)), most=most)


def _send(window: Window, *places: int, now_s: float) -> None:
    window.sent(dict.fromkeys(places, CHUNK), now_s=now_s)


def _arrive(window: Window, *places: int, now_s: float) -> None:
    for place in places:
        window.arrived(place, now_s=now_s)


def test_a_window_starts_at_two_and_doubles_with_each_clean_one_up_to_its_most() -> None:
    window, place, sizes = _window(), 0, []
    for _ in range(5):
        places = range(place, place + window.size)
        sizes.append(window.size)
        _send(window, *places, now_s=place)
        _arrive(window, *places, now_s=place + 0.1)
        place += len(places)

    assert sizes == [2, 4, 8, 16, 16]


def test_nothing_is_asked_for_before_half_of_the_window_came() -> None:
    window = _window()
    _send(window, 0, 1, now_s=0.0)

    before, _ = window.room()
    _arrive(window, 0, now_s=0.1)

    assert (before, window.room()[0]) == (0, 1)


def test_a_mebibyte_is_the_most_that_is_on_its_way() -> None:
    window = _window()
    window.sent({0: 700_000}, now_s=0.0)

    assert window.room()[1] == MOST_BYTES - 700_000


def test_a_silence_as_long_as_the_timeout_loses_what_is_on_its_way_and_halves_the_window() -> None:
    window = _window()
    _send(window, 0, 1, now_s=0.0)

    early, late = window.lost(now_s=4.9), window.lost(now_s=5.0)

    assert (early, late, window.flying, window.size) == ([], [0, 1], 0, START // 2)


def test_a_chunk_that_others_come_before_is_waited_for_as_long_as_they_come() -> None:
    window = _window()
    _send(window, 0, 1, now_s=0.0)
    _arrive(window, 1, now_s=4.0)

    assert window.lost(now_s=6.9) == []


def test_a_chunk_that_a_later_request_overtook_is_lost_in_its_own_time() -> None:
    window = _window()
    _send(window, 0, 1, now_s=0.0)
    _arrive(window, 1, now_s=0.1)
    _send(window, 2, 3, now_s=0.1)
    _arrive(window, 2, 3, now_s=2.9)

    assert window.lost(now_s=2.95) == []
    assert window.lost(now_s=9.0) == [0]


def test_the_timeout_is_the_smoothed_round_trip_and_four_deviations() -> None:
    timeout = Timeout(first_s=5.0, chance=random.Random(7))

    timeout.measured(8.0)
    first_s = timeout.after_s
    timeout.measured(8.0)

    assert first_s == 8.0 + 4 * 4.0
    assert timeout.after_s == 8.0 + 4 * 3.0


def test_each_silence_about_doubles_the_timeout_up_to_a_minute_and_an_answer_ends_that() -> None:
    timeout = Timeout(first_s=5.0, chance=random.Random(7))
    waits = []
    for _ in range(6):
        waits.append(timeout.after_s)
        timeout.expired()
    timeout.measured(0.1)

    assert waits == sorted(waits)
    assert 8.0 <= waits[1] <= 12.0
    assert waits[-1] == LONGEST_BACKOFF_S
    assert timeout.after_s == 3.0


def test_an_answer_to_a_chunk_asked_for_twice_measures_nothing() -> None:
    window = _window()
    _send(window, 0, now_s=0.0)
    window.lost(now_s=5.0)
    _send(window, 0, now_s=5.0)

    _arrive(window, 0, now_s=5.001)
    _send(window, 1, now_s=6.0)

    assert window.deadline_s() is not None
    assert (window.deadline_s() or 0.0) > 10.0


def test_a_new_session_loses_all_at_once() -> None:
    window = _window()
    _send(window, 3, 1, now_s=0.0)

    assert (window.lose_all(), window.flying, window.deadline_s()) == ([1, 3], 0, None)


def test_where_chunks_take_long_the_window_stays_small() -> None:
    window = _window()
    _send(window, 0, 1, now_s=0.0)

    _arrive(window, 0, 1, now_s=20.0)

    assert window.size == START


@given(st.lists(st.tuples(st.sampled_from(["ask", "come", "wait", "session"]), st.integers(0, 30)), max_size=60))
def test_whatever_happens_nothing_on_its_way_is_asked_for_and_nothing_is_forgotten(
    events: list[tuple[str, int]],
) -> None:
    window, todo, arrived, now_s = _window(), list(range(40)), set[int](), 0.0
    for kind, number in events:
        now_s += 0.01
        count, room = window.room()
        if kind == "ask":
            places, todo = todo[: min(count, room // CHUNK)], todo[min(count, room // CHUNK) :]
            assert not any(window.holds(place) for place in places)
            _send(window, *places, now_s=now_s)
        elif kind == "come" and window.holds(number):
            _arrive(window, number, now_s=now_s)
            arrived.add(number)
        elif kind == "wait":
            now_s += number
            todo = window.lost(now_s=now_s) + todo
        elif kind == "session":
            todo = window.lose_all() + todo

        assert len(arrived) + window.flying + len(todo) == 40
        assert window.flying * CHUNK <= MOST_BYTES
