"""Timing, under a clock of our own."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from contracts.manifest import TakenOn
from optimizer.benchmark.timing import Effort, Timing, measure


class StepClock:
    """A clock that stands still until something takes time."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """Return the present, nanoseconds."""
        return self.now_ns

    def work(self, milliseconds: float, log: list[str], name: str) -> Callable[[], object]:
        """Return a call that takes that long and writes its name into the log."""

        def call() -> object:
            log.append(name)
            self.now_ns += int(milliseconds * 1e6)
            return None

        return call


def test_models_alternate_run_by_run_and_warm_up_is_left_out() -> None:
    clock, log = StepClock(), list[str]()
    calls = {"a": clock.work(1, log, "a"), "b": clock.work(3, log, "b")}

    timings = measure(calls, effort=Effort(runs=4, warmup=2), threads=1, machine="m", clock_ns=clock)

    assert [sorted(log[place : place + 2]) for place in range(0, 12, 2)] == [["a", "b"]] * 6
    assert timings["a"].samples_ms == (1.0,) * 4
    assert timings["b"].samples_ms == (3.0,) * 4
    assert (timings["a"].warmup, timings["a"].n) == (2, 4)


def test_slow_models_stop_at_the_least_number_of_runs() -> None:
    clock, log = StepClock(), list[str]()
    effort = Effort(runs=1000, warmup=50, seconds=2.0, least_runs=7)

    timings = measure({"slow": clock.work(900, log, "slow")}, effort=effort, threads=1, machine="m", clock_ns=clock)

    assert timings["slow"].n == 7
    assert timings["slow"].warmup == 2


def test_percentiles_are_of_the_samples() -> None:
    timing = Timing(samples_ms=tuple(float(sample) for sample in range(1, 102)), warmup=0, threads=1, machine="m")

    assert (timing.n, timing.p50_ms) == (101, 51.0)
    assert timing.p95_ms == pytest.approx(96.0)


def test_the_order_of_each_round_is_shuffled_by_the_seed() -> None:
    def order(seed: int) -> list[str]:
        clock, log = StepClock(), list[str]()
        calls = {name: clock.work(1, log, name) for name in "abc"}
        measure(calls, effort=Effort(runs=20, warmup=0), threads=1, machine="m", seed=seed, clock_ns=clock)
        return log

    rounds = {tuple(order(1)[place : place + 3]) for place in range(0, 60, 3)}

    assert order(1) == order(1) != order(2)
    assert len(rounds) == 6


def test_a_timing_is_the_hosts_unless_somebody_says_otherwise() -> None:
    clock, log = StepClock(), list[str]()
    calls = {"a": clock.work(1, log, "a")}
    effort = Effort(runs=1, warmup=0)

    plain = measure(calls, effort=effort, threads=1, machine="m", clock_ns=clock)
    claimed = measure(calls, effort=effort, threads=1, machine="m", taken_on=TakenOn.TARGET, clock_ns=clock)

    assert (plain["a"].taken_on, claimed["a"].taken_on) == (TakenOn.HOST, TakenOn.TARGET)


@pytest.mark.parametrize("samples", [(), (1.0, math.nan), (-1.0,), (0.0,), (math.inf,)])
def test_a_timing_that_no_clock_gives_is_refused(samples: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="each above 0 ms and finite"):
        Timing(samples_ms=samples, warmup=0, threads=1, machine="m")
