"""What the pruning benchmark says of points, of latencies, and of why a bar is out of reach."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness import Bar, paired
from benchmarks.pruning import points, with_reason
from benchmarks.pruning_cases import parted
from benchmarks.pruning_choice import Chosen, why_missed

_BEFORE = np.arange(1_000) < 800


def _latency(ratio: float) -> Bar:
    return paired("net", ratios=[ratio] * 7, same=[1.0] * 7, limit=0.7, peer="dense")


def _cut(least: float) -> Chosen:
    return Chosen(words="onnx u8s8", widths=None, least=least, account=())


def test_a_loss_is_held_or_missed_by_the_low_end_of_its_interval_and_says_by_how_much() -> None:
    after = np.arange(1_000) < 780

    held, missed, told = (
        points("net", _BEFORE, after, limit=limit, peer="original", note="u8s8") for limit in (4.0, 2.0, None)
    )

    assert (held.verdict, missed.verdict, told.verdict) == ("held", "missed", "reported")
    assert held.value == pytest.approx(-2.0)
    assert held.low < -2.0 < held.high < 0
    assert missed.note == f"u8s8; {-2 - held.low:.2f} points over the bar"
    assert told.target == ""


@pytest.mark.parametrize(
    ("ratio", "least", "verdict", "words"),
    [
        (0.65, 0.5, "held", ""),
        (0.8, 0.5, "missed", "net is 0.10 x over: no cut alone saved anything"),
        (0.98, 0.97, "reported", "0.97 x, so its time is not spent on channels"),
    ],
)
def test_a_latency_over_its_bar_is_missed_unless_no_cut_could_reach_it(
    ratio: float, least: float, verdict: str, words: str
) -> None:
    latency, cut = _latency(ratio), _cut(least)

    bar = with_reason(latency, why_missed("net", cut, latency), reachable=least <= 0.7)

    assert bar.verdict == verdict
    assert words in bar.note


def test_no_scored_row_is_among_those_that_train() -> None:
    rows = np.arange(10, dtype=np.float32)[:, None, None, None]

    dataset = parted(rows, np.arange(10), 7, name="image")

    taught, scored = (part.take(np.arange(part.count))["image"] for part in (dataset.calibration, dataset.holdout))
    assert taught.ravel().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert scored.ravel().tolist() == [7, 8, 9]
    assert dataset.label is not None
    assert dataset.label.tolist() == [7, 8, 9]
