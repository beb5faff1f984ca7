"""Is what the optimizer chooses at least as good as what the peers' recommended recipes give, model by model?

For each model of the fixed list (``peers.cases``): our choice for latency and for size, and what every recipe of the
peers gives (``peers.recipes``, each in its own environment, made on first use), all timed beside the original, call by
call in turn, in fresh processes; answers are compared on rows that nobody calibrated with. Then the bars.

Environments, models and what the peers gave are kept in the cache folder by content: a run that was killed continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import DATA_VARIABLE, PROCESSES, Bar, Options, finish, in_fresh_processes
from benchmarks.peers import bars
from benchmarks.peers.bars import FASTEST, SMALLEST, Outcome
from benchmarks.peers.cases import FIXED, Case, Entry, NotHere, Places
from benchmarks.peers.environments import ROOT
from benchmarks.peers.progress import Progress
from benchmarks.peers.recipes import RECIPES
from benchmarks.peers.scores import answers_of, score
from benchmarks.peers.sides import Side, opened, save_arrays, write_sides
from benchmarks.peers.tables import print_outcome, table_of
from benchmarks.peers.timing import ORIGINAL
from benchmarks.peers.walltime import wall_time_bars
from benchmarks.peers.work import Result, our_result, peer_result, write_case
from optimizer.errors import OptimizerError
from optimizer.formats.onnx_format import runtime_errors
from optimizer.metrics.fidelity import Fidelity

QUESTION = "Is the optimizer's choice at least as good as the peers' recommended recipes?"
TIMED_ROWS = 16
REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asked for."""

    places: Places
    models: tuple[str, ...]
    quick: bool
    json: bool
    limit_s: float
    wall_time: bool
    resume: bool

    @property
    def processes(self) -> int:
        """How many fresh processes time each model."""
        return 2 if self.quick else PROCESSES

    @property
    def seconds(self) -> float:
        """How long each of them times."""
        return 1.0 if self.quick else 3.0


def asked_for(arguments: Sequence[str] | None = None) -> Asked:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="fewer repeats: to see that it works, not to judge")
    parser.add_argument("--json", action="store_true", help="tables and bars as JSON on stdout")
    parser.add_argument("--data", type=Path, default=None, help=f"folder of models and data (or {DATA_VARIABLE})")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--models", default="", help="some of the fixed list, as in resnet20,gru")
    parser.add_argument("--cache", type=Path, default=ROOT / ".peers", help="environments and what the peers gave")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that one recipe may take on one model")
    parser.add_argument("--no-wall-time", action="store_true", help="leave out the time of one command")
    parser.add_argument("--resume", action="store_true", help="go on with the timings of a run that was killed")
    given = parser.parse_args(arguments)
    named = os.environ.get(DATA_VARIABLE)
    known = [entry.name for entry in FIXED]
    models = tuple(name for name in given.models.split(",") if name) or tuple(known)
    unknown = [name for name in models if name not in known]
    if unknown:
        parser.error(f"no model {', '.join(unknown)}: the fixed list has {', '.join(known)}")
    return Asked(
        places=Places(
            data=given.data or (Path(named) if named else None), cache=given.cache.resolve(), seed=given.seed
        ),
        models=models,
        quick=given.quick,
        json=given.json,
        limit_s=given.limit,
        wall_time=not given.no_wall_time,
        resume=given.resume,
    )


def main() -> int:
    """Measure, print tables and bars; return 0 where all bars hold."""
    asked = asked_for()
    outcomes: list[Outcome] = []
    judged: list[Bar] = []
    progress = Progress(len(asked.models))
    for entry in (entry for entry in FIXED if entry.name in asked.models):
        progress.begin(entry.name)
        try:
            outcome = outcome_of(entry, entry.load(asked.places), asked, progress)
        except NotHere as error:
            judged.append(bars.unjudged(entry.name, target="a measurement", note=str(error)))
            continue
        outcomes.append(outcome)
        judged += bars.bars_of(outcome, seed=asked.places.seed)
        if not asked.json:
            print_outcome(outcome)
    judged += bars.geometric_mean(outcomes, len(FIXED), seed=asked.places.seed)
    resnet = next((one for one in outcomes if one.entry.name == "resnet20"), None)
    if resnet is not None and asked.wall_time:
        judged += wall_time_bars(
            resnet.case,
            asked.places.cache,
            repeats=1 if asked.quick else REPEATS,
            seed=asked.places.seed,
            limit_s=asked.limit_s,
            told=progress.say,
        )
    return conclude(outcomes, judged, asked)


def outcome_of(entry: Entry, case: Case, asked: Asked, progress: Progress, *, by_runtime: bool = False) -> Outcome:
    """Return everything that is measured of one model; ``by_runtime``: of the best file for each runtime alone, too."""
    original = Side(name=ORIGINAL, path=case.model)
    given = write_case(case, judged_answers(original, case), asked.places.cache / "cases")
    results = results_of(case, given, asked, progress)
    if by_runtime:
        results |= {one.name: one for one in results[FASTEST].runtimes}
    sides = [
        original,
        *(Side(name=one.name, path=one.path, adapter=one.adapter) for one in results.values() if one.path),
    ]
    fidelity, broken = fidelities(sides, case, asked, progress)
    running = [side for side in sides if side.name in fidelity]
    return Outcome(
        entry=entry,
        case=case,
        results=results,
        sizes={side.name: side.path.stat().st_size for side in running},
        fidelity=fidelity,
        broken=broken,
        timings=timings_of(running, case, asked, progress),
        alike={side.name: same for side in running[1:] if (same := alike(original, side))},
    )


def results_of(case: Case, given: Path, asked: Asked, progress: Progress) -> dict[str, Result]:
    """Return what every recipe and our two searches give."""
    results = {}
    cache = asked.places.cache
    for recipe in RECIPES:
        progress.say(recipe.name)
        results[recipe.name] = peer_result(recipe, case, given, cache=cache, limit_s=asked.limit_s, told=progress.say)
    for side, objective in ((FASTEST, "latency"), (SMALLEST, "size")):
        progress.say(side)
        results[side] = our_result(case, given, objective=objective, cache=cache, limit_s=asked.limit_s)
    return results


def judged_answers(original: Side, case: Case) -> dict[str, np.ndarray[Any, Any]]:
    """Return the original's answers to the judged rows, by its own outputs; none where there are labels."""
    if case.judged.label is not None or original.is_tflite:
        return {}
    import onnx

    names = [output.name for output in onnx.load(case.model, load_external_data=False).graph.output]
    call = opened(original, list(case.judged.rows))
    rows = case.judged.rows
    each = [call({name: values[at : at + 1] for name, values in rows.items()}) for at in range(case.judged.count)]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*each, strict=True), strict=True)}


def fidelities(
    sides: list[Side], case: Case, asked: Asked, progress: Progress
) -> tuple[dict[str, Fidelity], dict[str, str]]:
    """Return how far each side's answers are from the original's, and why others have none."""
    refused: tuple[type[Exception], ...] = (ValueError, RuntimeError, OptimizerError, *runtime_errors())
    reference = answers_of(sides[0], case, asked.places.cache)
    fidelity: dict[str, Fidelity] = {}
    broken: dict[str, str] = {}
    for side in sides:
        progress.say(f"answers of {side.name}")
        try:
            fidelity[side.name] = score(answers_of(side, case, asked.places.cache), reference, case)
        except refused as error:
            broken[side.name] = f"its file does not run: {' '.join(str(error).split())[:200]}"
    return fidelity, broken


def timings_of(sides: list[Side], case: Case, asked: Asked, progress: Progress) -> list[dict[str, float]]:
    """Return the seconds of one row by side, one entry a process; equal files are timed once."""
    keys = {
        side.name: hashlib.sha256(side.path.read_bytes() + repr(side.adapter).encode()).hexdigest() for side in sides
    }
    first = {key: name for name, key in reversed(keys.items())}
    distinct = [side for side in sides if first[keys[side.name]] == side.name]
    told = hashlib.sha256(repr((sorted(keys.items()), asked.seconds, asked.places.seed)).encode()).hexdigest()[:20]
    folder = asked.places.cache / "runs" / told
    if not asked.resume:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / "rows.npz", {name: values[:TIMED_ROWS] for name, values in case.scored.rows.items()})
    write_sides(distinct, folder)
    answers = []
    for turn in range(asked.processes):
        kept = folder / f"process-{turn}.json"
        if not kept.exists():
            progress.say(f"timing, process {turn + 1} of {asked.processes}")
            arguments = ["--folder", str(folder), "--seconds", str(asked.seconds)]
            seed = asked.places.seed * 1000 + turn
            (answer,) = in_fresh_processes("benchmarks.peers.timing", arguments, processes=1, seed=seed)
            kept.write_text(json.dumps(answer), encoding="utf-8")
        answers.append(json.loads(kept.read_text(encoding="utf-8")))
    return [answer | {name: answer[first[key]] for name, key in keys.items()} for answer in answers]


def alike(original: Side, side: Side) -> str:
    """Return in words how a side is the same as the original, or nothing."""
    if side.path.read_bytes() == original.path.read_bytes():
        return bars.SAME_FILE
    if side.is_tflite or original.is_tflite:
        return ""
    return bars.SAME_WORK if operations(original.path) == operations(side.path) else ""


def operations(path: Path) -> Counter[str]:
    """Return what ONNX Runtime makes of a file: each operator with the shapes and types of its weights, counted."""
    from benchmarks.peers.optimized import optimized

    graph = optimized(path.read_bytes()).graph
    weights = {one.name: f"{one.data_type}{list(one.dims)}" for one in graph.initializer}
    return Counter(
        " ".join((node.op_type, *(weights[name] for name in node.input if name in weights))) for node in graph.node
    )


def conclude(outcomes: list[Outcome], judged: list[Bar], asked: Asked) -> int:
    """Print the bars, or all as JSON; return 0 where all hold."""
    chosen = Options(quick=asked.quick, json=asked.json, data=asked.places.data, seed=asked.places.seed)
    if asked.json:
        print(json.dumps({outcome.entry.name: [list(row) for row in table_of(outcome)] for outcome in outcomes}))
    return finish(QUESTION, judged, chosen)


if __name__ == "__main__":
    sys.exit(main())
