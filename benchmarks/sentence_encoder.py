"""Does int8 make a sentence encoder at least 1.75 times faster, and leave its neighbours where they were?

Strength and finer scales are chosen on sentences that are not scored. Answers are computed one sentence at a time,
as a device does: a dynamic scale depends on what shares the batch.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import PROCESSES, Bar, Options, alternate, finish, in_fresh_processes, options, paired, reported
from optimizer.model import Model

QUESTION = "Is MiniLM at most 0.57 x its float latency with the same neighbours?"
LIMIT, COSINE, NEIGHBOURS = 0.57, 0.998, 0.94
PEER_LOW, PEER_HIGH = 0.85, 0.89
CHOOSING, SCORED = 600, 900
STRENGTHS = (0.5, 0.65, 0.8)
ENOUGH_COSINE, ENOUGH_NEIGHBOURS = 0.9985, 0.955
"""Wanted on the choosing sentences: the bars and about one and a half standard errors (n = 600)."""
FLOAT, AGAIN, CHOSEN = "float", "float again", "chosen"
DEFAULT, PER_CHANNEL = "ORT dynamic", "ORT dynamic per channel"
WARM_UP = 10

Rows = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class SentenceCase:
    """MiniLM as its user gives it (float ONNX), with sentences for choosing and others for scoring."""

    model: Model
    choosing: Rows
    scored: Rows


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """How close embeddings are to the original's: mean cosine, and whose nearest other sentence is the same."""

    cosine: float
    neighbours: float
    n: int


def sentence_case(data: Path | None, *, seed: int, scored: int = SCORED) -> SentenceCase:
    """Return the case; without the weights it ends the program with what to install."""
    from benchmarks.minilm import find_files, load_minilm
    from benchmarks.sentences import LENGTH, draw, numbered

    folder = find_files(data)
    lists = draw(seed=seed, counts=(CHOOSING, scored))
    choosing, kept = (numbered(texts, folder / "vocab.txt") for texts in lists)
    return SentenceCase(model=load_minilm(folder, length=LENGTH), choosing=choosing, scored=kept)


def candidates(case: SentenceCase) -> Iterator[tuple[str, Model]]:
    """Yield names and int8 models, from the fastest kind of scales to the finest."""
    from optimizer.calibration.collect import collect
    from optimizer.pass_ import Observations
    from optimizer.passes import ArrangeTransformer, QuantizeDynamic, SmoothTransformer
    from optimizer.passes.transformer.dense import narrowing_layers

    arranged = ArrangeTransformer().run(case.model, Observations())
    rows = {name: values[: SmoothTransformer().rows] for name, values in case.choosing.items()}
    seen = Observations(statistics=collect(arranged, [rows]))
    smooth = {strength: SmoothTransformer(strength=strength).run(arranged, seen) for strength in STRENGTHS}
    narrowing = narrowing_layers(arranged)
    for words, step in (
        ("plain", QuantizeDynamic()),
        ("narrowing layers by token", QuantizeDynamic(per_token=narrowing)),
        ("all by token", QuantizeDynamic(per_token=("*",))),
        ("narrowing layers by block", QuantizeDynamic(per_block=narrowing)),
        ("narrowing by block, others by token", QuantizeDynamic(per_block=narrowing, per_token=("*",))),
    ):
        for strength in STRENGTHS:
            yield f"strength {strength}, {words}", step.run(smooth[strength], Observations())


def choose(case: SentenceCase) -> tuple[str, Model]:
    """Return the first candidate that is close enough on the choosing sentences, the closest if none is."""
    exact = embeddings(case.model, case.choosing)
    tried: list[tuple[float, str, Model]] = []
    for name, model in candidates(case):
        found = closeness(embeddings(model, case.choosing), exact)
        print(f"  {name}: cosine {found.cosine:.4f}, neighbours {found.neighbours:.3f}", file=sys.stderr)
        if found.cosine >= ENOUGH_COSINE and found.neighbours >= ENOUGH_NEIGHBOURS:
            return name, model
        tried.append((found.cosine, name, model))
    _, name, model = max(tried, key=lambda each: each[0])
    return name, model


def embeddings(model: Model, rows: Rows) -> NDArray[np.float32]:
    """Return the embeddings of the rows, run one by one."""
    from optimizer.formats.session import open_session

    session = open_session(model, threads=1)
    (output,) = model.outputs
    places = range(len(next(iter(rows.values()))))
    answers = [session.run({name: values[at : at + 1] for name, values in rows.items()}) for at in places]
    return np.concatenate([np.asarray(answer[output.name], dtype=np.float32) for answer in answers])


def closeness(given: NDArray[np.float32], exact: NDArray[np.float32]) -> Closeness:
    """Return how close embeddings, shape (n, width), are to exact ones."""
    ours, theirs = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in (given, exact))
    nearest = []
    for values in (ours, theirs):
        likeness = values @ values.T
        np.fill_diagonal(likeness, -np.inf)
        nearest.append(likeness.argmax(axis=1))
    same = float((nearest[0] == nearest[1]).mean())
    return Closeness(cosine=float((ours * theirs).sum(axis=1).mean()), neighbours=same, n=len(ours))


def quantize_by_peer(model: Model, *, per_channel: bool) -> Model:
    """Return what ONNX Runtime's ``quantize_dynamic`` makes of the model, all else at its defaults."""
    from onnxruntime.quantization import quantize_dynamic

    from optimizer.formats.quiet import quiet

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, output = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        model.save(source)
        quantize_dynamic(source, output, per_channel=per_channel)
        return Model.load(output, name=model.name)


def measure(asked: Options) -> list[Bar]:
    """Return all bars."""
    case = sentence_case(asked.data, seed=asked.seed)
    name, chosen = choose(case)
    sides = {
        FLOAT: case.model,
        CHOSEN: chosen,
        DEFAULT: quantize_by_peer(case.model, per_channel=False),
        PER_CHANNEL: quantize_by_peer(case.model, per_channel=True),
    }
    exact = embeddings(case.model, case.scored)
    close = {side: closeness(embeddings(sides[side], case.scored), exact) for side in (CHOSEN, DEFAULT, PER_CHANNEL)}
    bars = [
        *timings(sides, case, name, asked),
        at_least("mean cosine", close[CHOSEN].cosine, n=close[CHOSEN].n, limit=COSINE),
        at_least("same nearest neighbour", close[CHOSEN].neighbours, n=close[CHOSEN].n, limit=NEIGHBOURS),
        within("same nearest neighbour: peer", close[PER_CHANNEL].neighbours, n=close[PER_CHANNEL].n),
    ]
    for side in (DEFAULT, PER_CHANNEL):
        bars += [reported(f"{side}: mean cosine", [close[side].cosine], unit="", peer="float")]
    bars.append(reported(f"{DEFAULT}: same neighbour", [close[DEFAULT].neighbours], unit="", peer="float"))
    bars += [reported(f"{side}: size", [model.size_bytes / 1e6], unit="MB") for side, model in sides.items()]
    return bars


def timings(sides: Mapping[str, Model], case: SentenceCase, name: str, asked: Options) -> list[Bar]:
    """Return the latency bars: the choice judged against the original, the peers reported."""
    rounds = 10 if asked.quick else 60
    with tempfile.TemporaryDirectory() as folder:
        for place, model in enumerate(sides.values()):
            model.save(Path(folder) / f"{place}.onnx")
        row: dict[str, Any] = {key: values[:1] for key, values in case.scored.items()}
        np.savez(Path(folder) / "row.npz", **row)
        arguments = ["--folder", folder, "--rounds", str(rounds)]
        answers = in_fresh_processes("benchmarks.sentence_encoder", arguments, processes=PROCESSES, seed=asked.seed)
    ratios = {side: [answer[side] / answer[FLOAT] for answer in answers] for side in (*sides, AGAIN)}
    return [
        paired(f"latency ({name})", ratios=ratios[CHOSEN], same=ratios[AGAIN], limit=LIMIT, peer="float original"),
        *(reported(f"{side}: latency", ratios[side], unit="x", peer=FLOAT) for side in (DEFAULT, PER_CHANNEL)),
        reported("float: one sentence", [answer[FLOAT] * 1e3 for answer in answers], unit="ms"),
    ]


def at_least(name: str, value: float, *, n: int, limit: float) -> Bar:
    """Return the bar "at least the limit", with two standard errors of a share as its spread."""
    error = 2 * float(np.sqrt(max(value * (1 - value), 0.0) / n))
    verdict = "held" if value >= limit else "missed"
    target = f">= {limit:g}"
    return _share(name, value, n=n, error=error, target=target, verdict=verdict)


def within(name: str, value: float, *, n: int) -> Bar:
    """Return the bar that the sentences are as hard as they should be: the peer's score on them."""
    error = 2 * float(np.sqrt(value * (1 - value) / n))
    verdict = "held" if PEER_LOW <= value <= PEER_HIGH else "missed"
    return _share(name, value, n=n, error=error, target=f"{PEER_LOW:g} .. {PEER_HIGH:g}", verdict=verdict)


def _share(name: str, value: float, *, n: int, error: float, target: str, verdict: str) -> Bar:
    low, high = value - error, min(value + error, 1.0)
    return Bar(name=name, value=value, unit="", n=n, low=low, high=high, target=target, peer=FLOAT, verdict=verdict)


def child(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the p50 seconds of one sentence for each side, all alternating in this process."""
    row = dict(np.load(arguments.folder / "row.npz"))
    files = {FLOAT: 0, CHOSEN: 1, DEFAULT: 2, PER_CHANNEL: 3, AGAIN: 0}
    calls = {side: timed_call(arguments.folder / f"{place}.onnx", row) for side, place in files.items()}
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    return alternate(calls, rounds=arguments.rounds, order=arguments.order)


def timed_call(path: Path, row: Rows) -> Callable[[], float]:
    """Return a call that runs one sentence on one thread and returns the seconds it took."""
    from optimizer.formats.session import open_session

    session = open_session(Model.load(path), threads=1)

    def timed() -> float:
        started = time.perf_counter()
        session.run(row)
        return time.perf_counter() - started

    return timed


def child_arguments() -> argparse.Namespace:
    """Return what the parent asked this child for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--order", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    if "--order" in sys.argv:
        print(json.dumps(child(child_arguments())))
        sys.exit(0)
    wanted = options(QUESTION)
    sys.exit(finish(QUESTION, measure(wanted), wanted))
