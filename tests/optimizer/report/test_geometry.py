"""Round ticks, bubbles by area, fronts, and labels that do not touch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.report.geometry import Box, Mark, front, place_labels, radius_of, scale

PLOT = Box(left=0, top=0, right=900, bottom=320)


def test_ticks_are_round_and_cover_the_figures() -> None:
    across = scale([0.013, 0.047], start=0, end=100, from_zero=True)

    assert across.ticks == (0.0, 0.01, 0.02, 0.03, 0.04, 0.05)
    assert (across(0.0), across(0.05)) == (0.0, 100.0)


def test_equal_figures_still_have_a_scale() -> None:
    up = scale([0.98, 0.98], start=100, end=0)

    assert up.low < 0.98 < up.high


def test_the_area_of_a_bubble_stands_for_the_figure() -> None:
    assert radius_of(25, largest=100, widest=20) == pytest.approx(10)


def test_the_front_keeps_what_nothing_beats_in_both() -> None:
    assert front([(1.0, 0.90), (2.0, 0.95), (3.0, 0.94), (2.0, 0.80)]) == (0, 1)


def test_where_less_is_better_the_front_turns_over() -> None:
    assert front([(1.0, 0.5), (2.0, 0.4), (3.0, 0.6)], higher_is_better=False) == (0, 1)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(60, 840), st.floats(40, 280)), min_size=1, max_size=7))
def test_labels_touch_neither_each_other_nor_the_edge(places: list[tuple[float, float]]) -> None:
    marks = [Mark(x=x, y=y, radius=12, text=f"candidate {place}, 22.6 KB") for place, (x, y) in enumerate(places)]

    boxes = [label.box for label in place_labels(marks, PLOT)]

    assert all(PLOT.contains(box) for box in boxes)
    assert sum(one.overlap(other) for one in boxes for other in boxes if one is not other) == 0


def test_labels_leave_what_is_to_be_clear() -> None:
    mark = Mark(x=450, y=160, radius=10, text="candidate")
    clear = Box(left=460, top=0, right=900, bottom=320)

    (label,) = place_labels([mark], PLOT, clear=(clear,))

    assert label.box.overlap(clear) == 0
