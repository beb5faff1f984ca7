"""Judging what was measured beside the peers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import Bar
from benchmarks.peers.bars import FASTEST, SAME_FILE, SMALLEST, Outcome, bars_of, geometric_mean, wall_time
from benchmarks.peers.cases import BUDGET, Case, Entry, Split
from benchmarks.peers.recipes import RECIPES
from benchmarks.peers.timing import AGAIN, ORIGINAL
from benchmarks.peers.work import Result
from optimizer.metrics.fidelity import Fidelity
from optimizer.metrics.interval import Interval

PROCESSES = 7
KEPT = (0.0, -0.002, 0.004)
UNSURE = (0.002, -0.004, 0.009)
LOST = (0.05, 0.03, 0.07)
U8S8 = "ORT static U8S8 per channel"


def fidelity(drop: tuple[float, float, float], *, n: int = 1500) -> Fidelity:
    value, low, high = drop
    return Fidelity(
        metric="accuracy",
        n=n,
        value=0.9 - value,
        original=0.9,
        drop=Interval(value=value, low=low, high=high),
        unit="points",
        others={},
    )


def result(name: str) -> Result:
    return Result(name=name, path=Path("out.onnx"), seconds=1.0, peak_rss_bytes=1)


def outcome(  # one keyword for each thing that a test varies
    seconds: Mapping[str, float],
    *,
    drops: Mapping[str, tuple[float, float, float]] | None = None,
    sizes: Mapping[str, int] | None = None,
    alike: Mapping[str, str] | None = None,
    max_drop: float | None = BUDGET,
    plain_resnet: bool = False,
    depthwise: bool = False,
) -> Outcome:
    rows = Split(rows={"x": np.zeros((4, 2), dtype=np.float32)})
    case = Case(
        name="net", model=Path("net.onnx"), calibration=rows, judged=rows, scored=rows, max_drop=max_drop, note="made"
    )
    timings = [{ORIGINAL: 1.0, AGAIN: 1.0, **seconds}] * PROCESSES
    sides = (ORIGINAL, *seconds)
    return Outcome(
        entry=Entry(name="net", load=lambda _: case, plain_resnet=plain_resnet, depthwise=depthwise),
        case=case,
        results={side: result(side) for side in (FASTEST, SMALLEST, *(recipe.name for recipe in RECIPES))},
        sizes=dict.fromkeys(sides, 100) | dict(sizes or {}),
        fidelity={side: fidelity((drops or {}).get(side, KEPT)) for side in sides},
        broken={},
        timings=timings,
        alike=alike or {},
    )


def named(bars: list[Bar], words: str) -> Bar:
    (bar,) = [bar for bar in bars if words in bar.name]
    return bar


@pytest.mark.parametrize(("seconds", "verdict"), [(0.9, "held"), (1.0, "held"), (1.1, "missed")])
def test_a_choice_slower_than_the_original_is_missed(seconds: float, verdict: str) -> None:
    measured = outcome({FASTEST: seconds, SMALLEST: 1.0})

    bars = bars_of(measured, seed=1)

    assert named(bars, "net: latency").verdict == verdict


def test_the_same_file_is_reported_and_not_judged_by_chance() -> None:
    measured = outcome({FASTEST: 1.01, SMALLEST: 1.0}, alike={FASTEST: SAME_FILE})

    bar = named(bars_of(measured, seed=1), "net: latency")

    assert (bar.verdict, bar.note) == ("reported", SAME_FILE)


def test_a_resnet_is_held_against_the_fastest_peer_that_keeps_accuracy() -> None:
    seconds = {FASTEST: 0.5, SMALLEST: 0.5, U8S8: 0.495, "NNCF": 0.2}

    bar = named(bars_of(outcome(seconds, drops={"NNCF": LOST}, plain_resnet=True), seed=1), "against the best")

    assert (bar.peer, bar.verdict) == (U8S8, "held")
    assert bar.value == pytest.approx(0.5 / 0.495)


def test_a_resnet_behind_the_best_peer_by_more_than_two_per_cent_is_missed() -> None:
    measured = outcome({FASTEST: 0.5, SMALLEST: 0.5, U8S8: 0.45}, plain_resnet=True)

    assert named(bars_of(measured, seed=1), "against the best").verdict == "missed"


def test_without_a_peer_that_keeps_accuracy_nothing_is_resolved() -> None:
    measured = outcome({FASTEST: 0.5, SMALLEST: 0.5, U8S8: 0.4}, drops={U8S8: LOST}, plain_resnet=True)

    bar = named(bars_of(measured, seed=1), "against the best")

    assert (bar.verdict, bar.holds) == ("not resolved", False)


def test_the_depthwise_net_is_held_against_recipes_that_are_all_int8() -> None:
    seconds = {FASTEST: 0.6, SMALLEST: 0.6, U8S8: 1.0, "ORT dynamic": 0.1}

    bar = named(bars_of(outcome(seconds, depthwise=True), seed=1), "against the best")

    assert (bar.peer, bar.verdict, bar.value) == (U8S8, "held", 0.6)


@pytest.mark.parametrize(("size", "verdict"), [(30, "held"), (31, "missed")])
def test_size_is_held_against_the_smallest_file_that_keeps_accuracy(size: int, verdict: str) -> None:
    sizes = {SMALLEST: size, U8S8: 30, "NNCF": 10}
    measured = outcome({FASTEST: 1.0, SMALLEST: 1.0, U8S8: 1.0, "NNCF": 1.0}, sizes=sizes, drops={"NNCF": LOST})

    bar = named(bars_of(measured, seed=1), "net: size")

    assert (bar.peer, bar.verdict) == (U8S8, verdict)


@pytest.mark.parametrize(("drop", "words", "verdict"), [
    (KEPT, "accuracy lost, latency", "held"),
    (LOST, "accuracy lost, latency", "missed"),
    (UNSURE, "far end", "held"),
    ((0.004, -0.01, 0.02), "far end", "missed"),
])  # fmt: skip
def test_accuracy_is_judged_by_the_interval_or_by_its_far_end(
    drop: tuple[float, float, float], words: str, verdict: str
) -> None:
    measured = outcome({FASTEST: 1.0, SMALLEST: 1.0}, drops={FASTEST: drop})

    assert named(bars_of(measured, seed=1), words).verdict == verdict


def test_what_n_cannot_resolve_is_said_with_n() -> None:
    measured = outcome({FASTEST: 1.0, SMALLEST: 1.0}, drops={FASTEST: UNSURE})

    assert named(bars_of(measured, seed=1), "far end").note == "n = 1500 cannot resolve 0.5 points"


def test_where_there_is_no_accuracy_to_keep_the_drop_is_reported() -> None:
    measured = outcome({FASTEST: 1.0, SMALLEST: 1.0}, drops={FASTEST: LOST}, max_drop=None)

    bar = named(bars_of(measured, seed=1), "lost, latency")

    assert (bar.verdict, bar.note) == ("reported", "made")


def test_a_choice_that_is_missing_does_not_count_as_held() -> None:
    measured = outcome({SMALLEST: 1.0})

    bar = named(bars_of(measured, seed=1), FASTEST)

    assert (bar.verdict, bar.holds) == ("not resolved", False)


def test_the_geometric_mean_is_against_the_best_single_recipe() -> None:
    first = outcome({FASTEST: 0.5, U8S8: 0.5, "NNCF": 2.0})
    second = outcome({FASTEST: 0.5, U8S8: 1.0, "NNCF": 0.5})

    bars = geometric_mean([first, second], 2, seed=1)

    assert (bars[0].peer, bars[0].verdict) == (U8S8, "held")
    assert bars[0].value == pytest.approx(0.5 / 0.5**0.5)


def test_a_recipe_without_a_file_counts_as_the_original_and_says_so() -> None:
    bars = geometric_mean([outcome({FASTEST: 0.5, U8S8: 0.5})], 1, seed=1)

    olive = named(bars, "Olive run")
    assert (olive.value, olive.note) == (1.0, "no file for 1, counted as the original")


def test_a_part_of_the_list_resolves_no_geometric_mean() -> None:
    bar, *_ = geometric_mean([outcome({FASTEST: 0.5})], 20, seed=1)

    assert (bar.verdict, bar.holds) == ("not resolved", False)


@pytest.mark.parametrize(("ours", "verdict"), [([1.0, 1.0, 1.0], "held"), ([3.0, 3.0, 3.0], "missed")])
def test_wall_time_is_held_against_accuracy_control(ours: list[float], verdict: str) -> None:
    bars = wall_time({"edgeship": ours, "NNCF": [2.0, 2.0, 2.0]}, ours="edgeship", peer="NNCF")

    assert bars[0].verdict == verdict


def test_fewer_than_three_repeats_resolve_no_wall_time() -> None:
    bars = wall_time({"edgeship": [1.0], "NNCF": [2.0]}, ours="edgeship", peer="NNCF")

    assert bars[0].verdict == "not resolved"


def test_a_peer_is_never_better_for_having_failed() -> None:
    failed = dataclasses.replace(outcome({FASTEST: 1.0}), broken={U8S8: "its file does not run"})

    assert failed.ratios(U8S8) == [1.0] * PROCESSES
    assert U8S8 not in failed.peers()
