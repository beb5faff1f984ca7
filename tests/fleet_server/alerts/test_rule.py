"""The hysteresis: opens at once, clears slowly."""

from __future__ import annotations

import pytest

from contracts.retrain import MovedFeature
from fleet_server.alerts.rule import Change, next_change

QUIET: tuple[MovedFeature, ...] = ()
MOVED = (MovedFeature(name="image.mean", psi=1.0, reference_mean=1.0, current_mean=2.0),)


@pytest.mark.parametrize(
    ("looks", "is_open", "change"),
    [
        ([], False, Change.NONE),
        ([QUIET], False, Change.NONE),
        ([MOVED], False, Change.OPEN),
        ([QUIET, MOVED, MOVED], False, Change.NONE),
        ([], True, Change.NONE),
        ([MOVED], True, Change.NONE),
        ([QUIET, QUIET], True, Change.NONE),
        ([QUIET, QUIET, MOVED], True, Change.NONE),
        ([QUIET, QUIET, QUIET], True, Change.CLEAR),
        ([QUIET, QUIET, QUIET, MOVED], True, Change.CLEAR),
    ],
)
def test_what_the_looks_do_to_the_alert(
    looks: list[tuple[MovedFeature, ...]],
    is_open: bool,  # noqa: FBT001 - a column of the table
    change: Change,
) -> None:
    assert next_change(looks, is_open=is_open) is change
