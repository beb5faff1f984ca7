"""Latency on this machine: every model in turn, in one process, one row a run.

The models alternate run by run, in an order that is shuffled anew each round, so a machine that slows
down slows all of them alike and none always follows the same other: ratios of two p50 from one call
can be trusted further than either figure. The harness owns the clock.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from contracts.manifest import TakenOn

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure: up to ``runs`` of each model, stopping after ``seconds`` with at least ``least_runs``."""

    runs: int = 200
    warmup: int = 20
    seconds: float = 8.0
    least_runs: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Wall times of single-row runs on one machine, in the order taken; warm-up runs left out.

    ``taken_on`` says whether that machine is the target itself; unless somebody said so, it is not.
    """

    samples_ms: tuple[float, ...]
    warmup: int
    threads: int
    machine: str
    taken_on: TakenOn = TakenOn.HOST

    def __post_init__(self) -> None:
        """Refuse what no clock gives: figures also come from other machines and from files."""
        if not self.samples_ms or not all(0 < sample < math.inf for sample in self.samples_ms):
            raise ValueError("a timing needs samples, each above 0 ms and finite")

    @property
    def n(self) -> int:
        """How many runs were timed."""
        return len(self.samples_ms)

    @property
    def p50_ms(self) -> float:
        """Median, milliseconds."""
        return self.percentile_ms(50)

    @property
    def p95_ms(self) -> float:
        """95th percentile, milliseconds."""
        return self.percentile_ms(95)

    def percentile_ms(self, percent: float) -> float:
        """Return that percentile of the samples, milliseconds."""
        return float(np.percentile(np.asarray(self.samples_ms), percent))


def measure(
    calls: Mapping[Key, Callable[[], object]],
    *,
    effort: Effort,
    threads: int,
    machine: str,
    taken_on: TakenOn = TakenOn.HOST,
    seed: int = 0,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[Key, Timing]:
    """Return the timing of each call, all interleaved run by run.

    Args:
        calls: what to run, by key; each call is one inference of one row.
        effort: how many runs, and when to stop.
        threads: how many threads the runtimes were given; recorded.
        machine: this machine in words; recorded.
        taken_on: whether this machine is the target; recorded.
        seed: of the order within each round.
        clock_ns: a monotonic clock, nanoseconds.
    """
    start = clock_ns()
    warmup = _warm_up(calls, effort, start, clock_ns)
    samples: dict[Key, list[float]] = {key: [] for key in calls}
    order, chance = list(calls), random.Random(seed)  # noqa: S311 an order of runs, no secret
    for run in range(effort.runs):
        if run >= effort.least_runs and clock_ns() - start > effort.seconds * 1e9:
            break
        chance.shuffle(order)
        for key in order:
            call = calls[key]
            before = clock_ns()
            call()
            samples[key].append((clock_ns() - before) / 1e6)
    return {
        key: Timing(samples_ms=tuple(taken), warmup=warmup, threads=threads, machine=machine, taken_on=taken_on)
        for key, taken in samples.items()
    }


def _warm_up(
    calls: Mapping[Key, Callable[[], object]], effort: Effort, start_ns: int, clock_ns: Callable[[], int]
) -> int:
    """Run each call up to ``effort.warmup`` times within a quarter of the time; return how often."""
    for run in range(effort.warmup):
        if run >= 2 and clock_ns() - start_ns > effort.seconds * 0.25e9:
            return run
        for call in calls.values():
            call()
    return effort.warmup
