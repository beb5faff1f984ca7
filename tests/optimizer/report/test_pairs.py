"""Original beside winner, by class and by size of the target."""

from __future__ import annotations

from optimizer.metrics.changes import ClassChange, QuantileChange
from optimizer.metrics.interval import Interval
from optimizer.report.pairs import MOST_ROWS, class_chart, quantile_chart


def _class(label: int, *, original: float, candidate: float) -> ClassChange:
    drop = Interval(value=original - candidate, low=-1, high=1)
    return ClassChange(label=label, n=10, original=original, candidate=candidate, drop=drop)


def test_a_class_is_shown_by_its_name_with_what_it_lost() -> None:
    chart = class_chart([_class(0, original=1.0, candidate=0.5), _class(1, original=0.8, candidate=0.8)], ("ash",))

    assert [(row.name, row.original, row.winner, row.change, row.worse) for row in chart.rows] == [
        ("ash", "100.0 %", "50.0 %", "-50.0", True),
        ("1", "80.0 %", "80.0 %", "", False),
    ]
    assert chart.rows[0].x_winner < chart.rows[0].x_original
    assert chart.ticks[-1].text == "100 %"


def test_classes_that_do_not_fit_are_those_that_lost_least_and_are_counted() -> None:
    classes = [_class(place, original=0.9, candidate=0.9 - 0.01 * (place == 30)) for place in range(40)]

    chart = class_chart(classes, ())

    assert (len(chart.rows), chart.left_out) == (MOST_ROWS, 40 - MOST_ROWS)
    assert "30" in [row.name for row in chart.rows]


def test_an_error_that_rises_is_worse() -> None:
    drop = Interval(value=0.25, low=0.1, high=0.4)

    chart = quantile_chart([QuantileChange(low=0, high=31.25, n=20, original=4, candidate=5, drop=drop)])

    (row,) = chart.rows
    assert (row.name, row.winner, row.change, row.worse) == ("0 to 31.25", "5", "+25.0 %", True)
    assert row.x_winner > row.x_original
