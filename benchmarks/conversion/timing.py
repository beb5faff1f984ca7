"""Time every converter's file of one model in this process, call by call in turn: what ``in_fresh_processes`` starts.

Prints one JSON object: the median seconds of one call for each side, and for the first side once more, opened twice.
A call sets the inputs, which lie as the file wants them already, invokes, and reads the outputs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversion.answers import rows_of_one
from benchmarks.conversion.files import Layout, Opened, arranged
from benchmarks.harness import alternate
from optimizer.benchmark.lock import machine_to_oneself

AGAIN: Final = "again"
LIST: Final = "sides.json"
LEAST_ROUNDS, MOST_ROUNDS = 15, 400
BURST_SECONDS: Final = 1e-3
WARM_UP: Final = 5

Feeds = Sequence[Sequence[NDArray[Any]]]


def write_list(folder: Path, sides: Sequence[tuple[str, Path, Sequence[Layout]]]) -> None:
    """Write what is to be timed: name, file, and how its inputs are taken; the first is timed twice."""
    plain = [
        {"name": name, "path": str(path.resolve()), "inputs": [[one.tensor, one.order] for one in layouts]}
        for name, path, layouts in sides
    ]
    (folder / LIST).write_text(json.dumps(plain), encoding="utf-8")


def measure(folder: Path, *, seconds: float, order: int) -> dict[str, float]:
    """Return the median seconds of one call for each side."""
    with np.load(folder / "rows.npz", allow_pickle=False) as held:
        rows = list(rows_of_one({name: held[name] for name in held.files}))
    sides = json.loads((folder / LIST).read_text(encoding="utf-8"))
    samples: dict[str, Callable[[int], float]] = {}
    for name, side in [*((side["name"], side) for side in sides), (AGAIN, sides[0])]:
        opened = Opened(Path(side["path"]))
        layouts = [Layout(tensor=tensor, order=tuple(axes)) for tensor, axes in side["inputs"]]
        samples[name] = timed(opened, [arranged(row, layouts, opened.inputs) for row in rows])
    rough = {name: min(sample(1) for _ in range(WARM_UP)) for name, sample in samples.items()}
    burst = max(1, min(200, round(BURST_SECONDS / min(rough.values()))))
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, round(seconds / (sum(rough.values()) * burst))))
    return alternate({name: _bursts(sample, burst) for name, sample in samples.items()}, rounds=rounds, order=order)


def timed(opened: Opened, feeds: Feeds) -> Callable[[int], float]:
    """Return a call that runs so many rows, a different one each time, and returns the seconds of one."""
    turn = iter(range(1 << 62))

    def sample(count: int) -> float:
        chosen = [feeds[next(turn) % len(feeds)] for _ in range(count)]
        started = time.perf_counter()
        for feed in chosen:
            opened.call(feed)
        return (time.perf_counter() - started) / count

    return sample


def _bursts(sample: Callable[[int], float], burst: int) -> Callable[[], float]:
    return lambda: sample(burst)


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
