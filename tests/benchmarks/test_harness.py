"""The one rule that judges every latency bar."""

from __future__ import annotations

import json

import pytest

from benchmarks.harness import (
    PROCESSES,
    Bar,
    Options,
    alternate,
    at_most,
    bootstrap_interval,
    finish,
    in_fresh_processes,
    paired,
    reported,
)

CALM = [1.0, 1.001, 0.999, 1.002, 0.998, 1.0, 1.001]
NOISY = [1.0, 1.2, 0.85, 1.1, 0.9, 1.15, 0.8]
FASTER = [0.5, 0.51, 0.49, 0.5, 0.52, 0.48, 0.5]
SLOWER = [1.3, 1.31, 1.29, 1.3, 1.32, 1.28, 1.3]


def judged(ratios: list[float], same: list[float], *, limit: float = 1.0) -> Bar:
    return paired("chosen", ratios=ratios, same=same, limit=limit, peer="original")


def test_a_faster_one_beside_a_calm_reference_is_held() -> None:
    bar = judged(FASTER, CALM)

    assert (bar.verdict, bar.holds, bar.value, bar.n) == ("held", True, 0.5, PROCESSES)
    assert bar.low <= bar.value <= bar.high


def test_a_slower_one_is_missed() -> None:
    bar = judged(SLOWER, CALM)

    assert (bar.verdict, bar.holds) == ("missed", False)


def test_the_interval_decides_and_not_the_median() -> None:
    median_within = [0.99, 0.98, 0.99, 1.3, 0.97, 1.4, 1.35]

    bar = judged(median_within, CALM)

    assert bar.value < 1.0
    assert bar.verdict == "missed"


def test_what_the_reference_cannot_tell_apart_is_given_to_the_candidate() -> None:
    slightly_over = [1.01] * PROCESSES
    unsure = [0.98, 1.02, 0.98, 1.02, 0.98, 1.02, 1.0]

    assert judged(slightly_over, unsure).verdict == "held"
    assert judged(slightly_over, [1.0] * PROCESSES).verdict == "missed"


@pytest.mark.parametrize("ratios", [FASTER, SLOWER])
def test_beside_a_noisy_reference_nothing_is_resolved(ratios: list[float]) -> None:
    bar = judged(ratios, NOISY)

    assert (bar.verdict, bar.holds) == ("not resolved", False)
    assert "A/A half-width" in bar.note


def test_fewer_than_seven_processes_resolve_nothing() -> None:
    bar = judged(FASTER[:-1], CALM[:-1])

    assert (bar.verdict, bar.n) == ("not resolved", PROCESSES - 1)


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    first, again, other = (bootstrap_interval(NOISY, seed=seed) for seed in (1, 1, 3))

    assert first == again
    assert min(NOISY) <= first[0] <= first[1] <= max(NOISY)
    assert other[0] <= other[1]


def test_a_plain_limit_is_judged_by_the_median() -> None:
    assert at_most("start", [0.1, 0.2, 0.9], unit="s", limit=0.3).verdict == "held"
    assert at_most("start", [0.1, 0.4, 0.9], unit="s", limit=0.3).verdict == "missed"


def test_a_figure_without_a_target_stands() -> None:
    bar = reported("python", [3.0, 1.0, 2.0], unit="s")

    assert (bar.value, bar.low, bar.high, bar.target, bar.holds) == (2.0, 1.0, 3.0, "", True)


def test_every_side_is_called_once_a_round_in_an_order_of_its_own() -> None:
    called: list[str] = []

    medians = alternate(
        {"a": lambda: called.append("a") or 1.0, "b": lambda: called.append("b") or 2.0},  # type: ignore[func-returns-value]
        rounds=20,
        order=3,
    )

    assert medians == {"a": 1.0, "b": 2.0}
    assert sorted(called) == ["a"] * 20 + ["b"] * 20
    assert called[::2] != ["a"] * 20


@pytest.mark.slow
def test_fresh_processes_are_given_orders_of_their_own() -> None:
    answers = in_fresh_processes("tests.benchmarks.child", ["--side", "1"], processes=2, seed=3)

    assert [answer["side"] for answer in answers] == [1, 1]
    assert answers[0]["order"] != answers[1]["order"]
    assert {answer["pid"] for answer in answers}.isdisjoint({0})
    assert answers[0]["pid"] != answers[1]["pid"]


@pytest.mark.parametrize(("ratios", "status"), [(FASTER, 0), (SLOWER, 1)])
def test_the_exit_status_and_the_json_say_whether_all_bars_hold(
    ratios: list[float], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = Options(quick=False, json=True, data=None, seed=7)

    ended = finish("Is it faster?", [judged(ratios, CALM)], chosen)

    (row,) = json.loads(capsys.readouterr().out)
    assert ended == status
    assert set(row) >= {"bar", "value", "target", "holds"}
    assert row["holds"] is (status == 0)


def test_the_table_names_value_spread_n_target_and_peer(capsys: pytest.CaptureFixture[str]) -> None:
    finish("Is it faster?", [judged(FASTER, CALM)], Options(quick=False, json=False, data=None, seed=7))

    table = capsys.readouterr().out
    assert "Is it faster?" in table
    assert "0.5 x" in table
    assert "<= 1 x" in table
    assert "original" in table
    assert "held (A/A half-width" in table
