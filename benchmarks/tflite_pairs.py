"""Is our full int8, made from a published float TFLite file, as accurate, as small and as fast as the published int8?

Three published pairs: keyword spotting, ResNet8, an LSTM over the rows of a digit. None has a training part, so the
first 20 % of the rows calibrate and the rest is scored. What is called the float file of keyword spotting keeps its
wide weights in 8 bits already; its float form is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import PROCESSES, Bar, Options, alternate, finish, in_fresh_processes, options, paired, reported
from optimizer.model import Model

QUESTION = "Is our int8 of published TFLite files within points of the published int8, at 1.02 x its latency and size?"
LIMIT = 1.02
CALIBRATING = 0.2
OURS, PUBLISHED, AGAIN = "ours", "published", "published again"
WARM_UP, CALLS = 20, 50
"""Calls before measuring, and calls in each timing: one takes some tens of microseconds."""

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A published float file and its int8, with labelled rows; ``points`` is how much the int8 of ours may lose."""

    name: str
    original: Model
    published: Model
    rows: Rows
    labels: NDArray[np.int64]
    points: float

    @property
    def calibrating(self) -> int:
        """How many rows calibrate; the others are scored."""
        return int(len(self.rows) * CALIBRATING)


def pairs(data: Path) -> Iterator[Pair]:
    """Yield the pairs of the folder."""
    spoken = np.load(data / "keyword_spotting" / "kws01.npz")
    yield Pair(
        name="keyword spotting",
        original=Model.load(data / "keyword_spotting" / "kws_ref_model_float32.tflite"),
        published=Model.load(data / "keyword_spotting" / "kws_ref_model.tflite"),
        rows=((spoken["x_int8"].astype(np.float32) - 83) * np.float32(0.58470)),
        labels=spoken["y"],
        points=1.5,
    )
    images = np.load(data / "image_cifar10" / "cifar10_jpeg_2000.npz")
    yield Pair(
        name="ResNet8",
        original=Model.load(data / "image_cifar10" / "pretrainedResnet.tflite"),
        published=Model.load(data / "image_cifar10" / "pretrainedResnet_quant.tflite"),
        rows=images["x"].astype(np.float32),
        labels=images["y"].astype(np.int64),
        points=1.0,
    )
    digits = np.load(data / "recurrent_mnist" / "mnist_t10k.npz")
    yield Pair(
        name="LSTM",
        original=Model.load(data / "recurrent_mnist" / "trained_lstm.tflite"),
        published=Model.load(data / "recurrent_mnist" / "trained_lstm_int8.tflite"),
        rows=digits["x"].reshape(-1, 28, 28).astype(np.float32) / 255,
        labels=digits["y"].astype(np.int64),
        points=0.5,
    )


def quantized(pair: Pair) -> Model:
    """Return our full int8 of the float file, at the pass's defaults.

    Raises:
        PassFailed: it cannot be made.
    """
    from optimizer.calibration.collect import collect
    from optimizer.pass_ import Observations
    from optimizer.passes import QuantizeTflite

    batch = {pair.original.inputs[0].name: pair.rows[: pair.calibrating]}
    step = QuantizeTflite(rows=pair.calibrating)
    return step.run(pair.original, Observations(rows=batch, statistics=collect(pair.original, [batch])))


def right(model: Model, rows: Rows, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the model is right on each row."""
    from contracts.preprocessing import to_stored
    from optimizer.formats.session import open_session

    session, (taken,), (given,) = open_session(model, threads=1), model.inputs, model.outputs
    stored = to_stored(rows, taken)
    answers = [session.run({taken.name: stored[at : at + 1]})[given.name] for at in range(len(rows))]
    return np.asarray(np.concatenate(answers).argmax(axis=1) == labels, dtype=np.bool_)


def measure(pair: Pair, asked: Options) -> Iterator[Bar]:
    """Yield the bars of a pair."""
    from optimizer.errors import PassFailed

    try:
        ours = quantized(pair)
    except PassFailed as error:
        yield _bar(f"{pair.name}: made", 0.0, unit="", n=0, target="made", held=False, note=str(error)[:150])
        return
    rows, labels = pair.rows[pair.calibrating :], pair.labels[pair.calibrating :]
    if asked.quick:
        rows, labels = rows[:200], labels[:200]
    yield from accuracy(pair, ours, rows, labels)
    ratio = ours.size_bytes / pair.published.size_bytes
    sizes = f"{ours.size_bytes:,} to {pair.published.size_bytes:,} bytes"
    yield _bar(f"{pair.name}: size", ratio, unit="x", n=1, target=f"<= {LIMIT} x", held=ratio <= LIMIT, note=sizes)
    yield from latency(pair, ours, asked)


def accuracy(pair: Pair, ours: Model, rows: Rows, labels: NDArray[np.int64]) -> Iterator[Bar]:
    """Yield the paired difference in accuracy, in points, and what it lies between."""
    from optimizer.metrics.interval import paired_drop

    sides = {OURS: ours, PUBLISHED: pair.published, "float": pair.original}
    found = {side: right(model, rows, labels) for side, model in sides.items()}
    drop = paired_drop(found[PUBLISHED], found[OURS])
    low, high = -100 * drop.high, -100 * drop.low
    yield Bar(
        name=f"{pair.name}: accuracy, ours - published",
        value=-100 * drop.value,
        unit="points",
        n=len(rows),
        low=low,
        high=high,
        target=f"low > -{pair.points:g}",
        peer=PUBLISHED,
        verdict="held" if low > -pair.points else "missed",
        note=f"calibrated on {pair.calibrating} rows, scored on {len(rows)} others",
    )
    for side, hits in found.items():
        yield reported(f"{pair.name}: accuracy, {side}", [100 * float(hits.mean())], unit="%")


def latency(pair: Pair, ours: Model, asked: Options) -> Iterator[Bar]:
    """Yield the ratio of latencies, both files in turn in each of several fresh processes."""
    rounds = 20 if asked.quick else 200
    with tempfile.TemporaryDirectory() as folder:
        ours.save(Path(folder) / "ours.tflite")
        pair.published.save(Path(folder) / "published.tflite")
        np.save(Path(folder) / "rows.npy", pair.rows[:16])
        arguments = ["--folder", folder, "--rounds", str(rounds)]
        answers = in_fresh_processes("benchmarks.tflite_pairs", arguments, processes=PROCESSES, seed=asked.seed)
    yield paired(
        f"{pair.name}: latency",
        ratios=[answer[OURS] / answer[PUBLISHED] for answer in answers],
        same=[answer[AGAIN] / answer[PUBLISHED] for answer in answers],
        limit=LIMIT,
        peer=PUBLISHED,
        seed=asked.seed,
    )
    yield reported(f"{pair.name}: one row, ours", [1e6 * answer[OURS] for answer in answers], unit="us")


def _bar(name: str, value: float, *, unit: str, n: int, target: str, held: bool, note: str) -> Bar:
    verdict = "held" if held else "missed"
    return Bar(
        name=name,
        value=value,
        unit=unit,
        n=n,
        low=value,
        high=value,
        target=target,
        peer=PUBLISHED,
        verdict=verdict,
        note=note,
    )


def child(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of one row for each side, all alternating in this process."""
    rows = np.load(arguments.folder / "rows.npy")
    files = {OURS: "ours.tflite", PUBLISHED: "published.tflite", AGAIN: "published.tflite"}
    calls = {side: timed_calls(Model.load(arguments.folder / name), rows) for side, name in files.items()}
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    return alternate(calls, rounds=arguments.rounds, order=arguments.order)


def timed_calls(model: Model, rows: Rows) -> Callable[[], float]:
    """Return a call that runs rows one after the other on one thread and returns the seconds of one."""
    from contracts.preprocessing import to_stored
    from optimizer.formats.session import open_session

    session, (taken,) = open_session(model, threads=1), model.inputs
    stored = to_stored(rows, taken)
    given = [{taken.name: stored[place % len(rows)][None]} for place in range(CALLS)]

    def timed() -> float:
        started = time.perf_counter()
        for row in given:
            session.run(row)
        return (time.perf_counter() - started) / CALLS

    return timed


def child_arguments() -> argparse.Namespace:
    """Return what the parent asked this child for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--order", type=int, required=True)
    return parser.parse_args()


def main() -> int:
    """Measure every pair; return 0 where all bars hold."""
    asked = options(QUESTION)
    if asked.data is None:
        print("the published files are not part of this repository: give their folder with --data or EDGESHIP_DATA")
        return 1
    return finish(QUESTION, [bar for pair in pairs(asked.data) for bar in measure(pair, asked)], asked)


if __name__ == "__main__":
    if "--order" in sys.argv:
        print(json.dumps(child(child_arguments())))
        sys.exit(0)
    sys.exit(main())
