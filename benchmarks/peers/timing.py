"""Time every file of one model in this process, call by call in turn: what ``in_fresh_processes`` starts.

Prints one JSON object: the median seconds of one row for each side, and for the original once more, opened twice.
A side that takes more than ``FAR`` times the original is timed in a round of its own beside the original, fewer times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import alternate
from benchmarks.peers.sides import Call, Row, opened, read_sides
from optimizer.benchmark.lock import machine_to_oneself

ORIGINAL, AGAIN = "original", "original again"
FAR = 4.0
FAR_ROUNDS = 12
LEAST_ROUNDS, MOST_ROUNDS = 21, 400
BURST_SECONDS = 0.5e-3
WARM_UP = 5


def rows_of(folder: Path) -> list[Row]:
    """Return the rows to go round, each a batch of one."""
    with np.load(folder / "rows.npz", allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    count = len(next(iter(arrays.values())))
    return [{name: values[place : place + 1] for name, values in arrays.items()} for place in range(count)]


def timed(call: Call, rows: list[Row], burst: int) -> Callable[[], float]:
    """Return a call that answers ``burst`` rows, a different one each time, and returns the seconds of one."""
    turn = iter(range(1 << 62))

    def sample() -> float:
        chosen = [rows[next(turn) % len(rows)] for _ in range(burst)]
        started = time.perf_counter()
        for row in chosen:
            call(row)
        return (time.perf_counter() - started) / burst

    return sample


def measure(folder: Path, *, seconds: float, order: int) -> dict[str, float]:
    """Return the median seconds of one row for each side."""
    rows = rows_of(folder)
    names = list(rows[0])
    sides = read_sides(folder)
    calls = {side.name: opened(side, names) for side in sides}
    calls[AGAIN] = opened(next(side for side in sides if side.name == ORIGINAL), names)
    rough = {name: _rough(call, rows) for name, call in calls.items()}
    burst = max(1, min(100, round(BURST_SECONDS / rough[ORIGINAL])))
    near = {name: timed(calls[name], rows, burst) for name in calls if rough[name] <= FAR * rough[ORIGINAL]}
    cost = sum(rough[name] for name in near) * burst
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, round(seconds / cost)))
    medians = alternate(near, rounds=rounds, order=order)
    far = {name: timed(calls[name], rows, 1) for name in calls if name not in near}
    if far:
        beside = alternate({ORIGINAL: timed(calls[ORIGINAL], rows, 1), **far}, rounds=FAR_ROUNDS, order=order + 1)
        medians |= {name: beside[name] / beside[ORIGINAL] * medians[ORIGINAL] for name in far}
    return medians


def _rough(call: Call, rows: list[Row]) -> float:
    """Warm the side up; return about how many seconds it takes."""
    taken = []
    for place in range(WARM_UP):
        started = time.perf_counter()
        call(rows[place % len(rows)])
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> int:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--order", type=int, required=True)
    asked = parser.parse_args()
    with machine_to_oneself(lambda line: print(line, file=sys.stderr)):
        print(json.dumps(measure(asked.folder, seconds=asked.seconds, order=asked.order)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
