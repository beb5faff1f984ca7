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
FLOAT, AGAIN, CHOSEN, ARRANGED = "float", "float again", "chosen", "float, arranged"
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
    """How close embeddings are to the original's.

    Attributes:
        cosine: mean cosine, with twice its standard error.
        neighbours: share whose nearest other sentence is the same, with twice its standard error.
        n: how many sentences.
    """

    cosine: float
    cosine_error: float
    neighbours: float
    neighbours_error: float
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
    cosines, same = (ours * theirs).sum(axis=1), nearest[0] == nearest[1]
    return Closeness(
        cosine=float(cosines.mean()),
        cosine_error=2 * float(cosines.std() / np.sqrt(len(cosines))),
        neighbours=float(same.mean()),
        neighbours_error=2 * float(same.std() / np.sqrt(len(same))),
        n=len(same),
    )


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
    from optimizer.pass_ import Observations
    from optimizer.passes import ArrangeTransformer

    case = sentence_case(asked.data, seed=asked.seed)
    name, chosen = choose(case)
    sides = {
        FLOAT: case.model,
        CHOSEN: chosen,
        ARRANGED: ArrangeTransformer().run(case.model, Observations()),
        DEFAULT: quantize_by_peer(case.model, per_channel=False),
        PER_CHANNEL: quantize_by_peer(case.model, per_channel=True),
    }
    exact = embeddings(case.model, case.scored)
    ours, default, peer = (
        closeness(embeddings(sides[side], case.scored), exact) for side in (CHOSEN, DEFAULT, PER_CHANNEL)
    )
    return [
        *timings(sides, name, case, asked),
        cosine_bar("mean cosine", ours, low=COSINE),
        neighbour_bar("same nearest neighbour", ours, low=NEIGHBOURS),
        cosine_bar(f"mean cosine: {PER_CHANNEL}", peer),
        neighbour_bar(f"same nearest neighbour: {PER_CHANNEL}", peer, low=PEER_LOW, high=PEER_HIGH),
        cosine_bar(f"mean cosine: {DEFAULT}", default),
        neighbour_bar(f"same nearest neighbour: {DEFAULT}", default),
        *(reported(f"{side}: size", [model.size_bytes / 1e6], unit="MB") for side, model in sides.items()),
    ]


def timings(sides: Mapping[str, Model], name: str, case: SentenceCase, asked: Options) -> list[Bar]:
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
        *(
            reported(f"latency: {side}", ratios[side], unit="x", peer=FLOAT)
            for side in (ARRANGED, DEFAULT, PER_CHANNEL)
        ),
        reported("float: one sentence", [answer[FLOAT] * 1e3 for answer in answers], unit="ms"),
    ]


def cosine_bar(name: str, found: Closeness, *, low: float = 0.0) -> Bar:
    """Return the bar on the mean cosine; reported where there is no least."""
    return _share(name, found.cosine, error=found.cosine_error, n=found.n, least=low)


def neighbour_bar(name: str, found: Closeness, *, low: float = 0.0, high: float = 1.0) -> Bar:
    """Return the bar on the share of the same neighbours; reported where there are no bounds."""
    return _share(name, found.neighbours, error=found.neighbours_error, n=found.n, least=low, most=high)


def _share(name: str, value: float, *, error: float, n: int, least: float, most: float = 1.0) -> Bar:
    target = "" if least <= 0 else f">= {least:g}" if most >= 1 else f"{least:g} .. {most:g}"
    verdict = "reported" if not target else "held" if least <= value <= most else "missed"
    return Bar(
        name=name,
        value=value,
        unit="",
        n=n,
        low=value - error,
        high=value + error,
        target=target,
        peer=FLOAT,
        verdict=verdict,
    )


def child(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the p50 seconds of one sentence for each side, all alternating in this process."""
    row = dict(np.load(arguments.folder / "row.npz"))
    sides = (FLOAT, CHOSEN, ARRANGED, DEFAULT, PER_CHANNEL)
    files = {side: f"{place}.onnx" for place, side in enumerate(sides)} | {AGAIN: "0.onnx"}
    calls = {side: timed_call(arguments.folder / name, row) for side, name in files.items()}
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
