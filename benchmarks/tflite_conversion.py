"""Is our ONNX to TFLite conversion at least as good as the peers', model by model?

For each model of the fixed list (``conversion.subjects``): our file and every peer's (``conversion.converters``, each
in its own environment, made on first use), compared with ONNX Runtime on real-looking and on random rows, their
operators counted from the file, all timed beside each other call by call, in fresh processes. Then the bars.

What the peers gave is kept in the cache folder by content: a run that was killed continues.
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
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.conversion.answers import CLOSE, Compared, compared, reference
from benchmarks.conversion.bars import bars_of
from benchmarks.conversion.converters import LITERT_TORCH, OURS, PEERS, UNROLLED, Converted, by_peer, by_us
from benchmarks.conversion.files import DoesNotRun, operators_of
from benchmarks.conversion.outcome import Outcome, print_outcome, table_of
from benchmarks.conversion.subjects import Subject, names, subject_of
from benchmarks.conversion.timing import write_list
from benchmarks.harness import DATA_VARIABLE, PROCESSES, Options, finish, in_fresh_processes
from benchmarks.peers.cases import NotHere, Places
from benchmarks.peers.environments import ROOT
from benchmarks.peers.progress import Progress
from benchmarks.peers.sides import save_arrays

QUESTION = "Is our ONNX to TFLite conversion at least as good as the peers'?"
CONVERSIONS = 3


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asked for."""

    places: Places
    models: tuple[str, ...]
    quick: bool
    json: bool
    limit_s: float
    conversions: int

    @property
    def processes(self) -> int:
        """How many fresh processes time each model."""
        return 2 if self.quick else PROCESSES

    @property
    def seconds(self) -> float:
        """How long each of them times."""
        return 0.5 if self.quick else 2.0


def asked_for(arguments: Sequence[str] | None = None) -> Asked:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--quick", action="store_true", help="fewer repeats: to see that it works, not to judge")
    parser.add_argument("--json", action="store_true", help="tables and bars as JSON on stdout")
    parser.add_argument("--data", type=Path, default=None, help=f"folder of models and data (or {DATA_VARIABLE})")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--models", default="", help="some of the fixed list, as in resnet20,gru")
    parser.add_argument("--cache", type=Path, default=ROOT / ".peers", help="environments and what the peers gave")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that one converter may take on one model")
    parser.add_argument("--conversions", type=int, default=CONVERSIONS, help="timed conversions of each model and side")
    given = parser.parse_args(arguments)
    named = os.environ.get(DATA_VARIABLE)
    known = names()
    models = tuple(name for name in given.models.split(",") if name) or known
    unknown = [name for name in models if name not in known]
    if unknown:
        parser.error(f"no model {', '.join(unknown)}: the fixed list has {', '.join(known)}")
    places = Places(data=given.data or (Path(named) if named else None), cache=given.cache.resolve(), seed=given.seed)
    return Asked(
        places=places,
        models=models,
        quick=given.quick,
        json=given.json,
        limit_s=given.limit,
        conversions=given.conversions,
    )


def main() -> int:
    """Measure, print tables and bars; return 0 where all bars hold."""
    asked = asked_for()
    outcomes: list[Outcome] = []
    progress = Progress(len(asked.models))
    for name in asked.models:
        progress.begin(name)
        try:
            outcome = outcome_of(subject_of(name, asked.places), asked, progress)
        except NotHere as error:
            print(f"\n{name}: not measured: {error}", file=sys.stderr)
            continue
        outcomes.append(outcome)
        if not asked.json:
            print_outcome(outcome)
    if asked.json:
        print(json.dumps({outcome.name: [list(row) for row in table_of(outcome)] for outcome in outcomes}))
    chosen = Options(quick=asked.quick, json=asked.json, data=asked.places.data, seed=asked.places.seed)
    return finish(QUESTION, bars_of(outcomes, asked=len(asked.models), seed=asked.places.seed), chosen)


def outcome_of(subject: Subject, asked: Asked, progress: Progress) -> Outcome:
    """Return everything that is measured of one model."""
    made = converted_by_all(subject, asked, progress)
    answers = reference(subject)
    found: dict[str, Compared] = {}
    broken: dict[str, str] = {}
    operators: dict[str, Counter[str]] = {}
    sizes: dict[str, int] = {}
    for name, path in ((one.name, one.path) for one in made.values() if one.path):
        progress.say(f"answers of {name}")
        operators[name], sizes[name] = operators_of(path.read_bytes()), path.stat().st_size
        try:
            found[name] = compared(path, answers)
        except DoesNotRun as error:
            broken[name] = str(error)
    outcome = Outcome(
        name=subject.name, converted=made, operators=operators, sizes=sizes, compared=found, broken=broken
    )
    if not outcome.ours:
        return outcome
    conversions = conversions_of(subject, outcome, asked, progress)
    return replace(outcome, timings=timings_of(subject, outcome, asked, progress), conversions=conversions)


def converted_by_all(subject: Subject, asked: Asked, progress: Progress) -> dict[str, Converted]:
    """Return what we and every peer give."""
    progress.say(OURS)
    made = {OURS: by_us(subject, cache=asked.places.cache, limit_s=asked.limit_s)}
    if recurrent(subject):
        made[UNROLLED] = by_us(subject, cache=asked.places.cache, limit_s=asked.limit_s, unrolled=True)
    for peer in PEERS:
        progress.say(peer.name)
        made[peer.name] = by_peer(peer, subject, cache=asked.places.cache, limit_s=asked.limit_s, told=progress.say)
    return made


def recurrent(subject: Subject) -> bool:
    """Return whether the model has recurrent layers, which we write in two forms."""
    import onnx

    model = onnx.load(subject.model, load_external_data=False)
    return any(node.op_type in ("LSTM", "GRU", "RNN") for node in model.graph.node)


def conversions_of(subject: Subject, outcome: Outcome, asked: Asked, progress: Progress) -> dict[str, list[float]]:
    """Return seconds of fresh processes, ours and litert-torch's in turn; where quick, those that were taken before."""
    seconds = {name: [outcome.converted[name].seconds] for name in (OURS, LITERT_TORCH)}
    if asked.quick or LITERT_TORCH not in outcome.peers:
        return seconds
    seconds = {name: [] for name in seconds}
    peer = next(one for one in PEERS if one.name == LITERT_TORCH)
    for turn in range(asked.conversions):
        progress.say(f"conversion time, {turn + 1} of {asked.conversions}")
        seconds[OURS].append(by_us(subject, cache=asked.places.cache, limit_s=asked.limit_s).seconds)
        if turn != 1:  # the first and the last: it takes long, and its time decides nothing within 10 %
            again = by_peer(
                peer, subject, cache=asked.places.cache, limit_s=asked.limit_s, told=progress.say, anew=True
            )
            seconds[LITERT_TORCH].append(again.seconds)
    return seconds


def timings_of(subject: Subject, outcome: Outcome, asked: Asked, progress: Progress) -> list[dict[str, float]]:
    """Return the seconds of one call by side, one entry a process."""
    folder = asked.places.cache / "conversion" / "runs" / subject.folder.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_arrays(folder / "rows.npz", subject.rows("real"))
    sides = []
    for name in (OURS, UNROLLED, *outcome.peers):
        path = outcome.converted[name].path if name in outcome.compared else None
        if path is not None and outcome.compared[name].error <= CLOSE:
            sides.append((name, path, outcome.compared[name].inputs))
    write_list(folder, sides)
    if sides[0][0] != OURS:
        return []
    progress.say(f"timing {len(sides)} files in {asked.processes} processes")
    arguments = ["--folder", str(folder), "--seconds", str(asked.seconds)]
    seed = int(hashlib.sha256(subject.name.encode()).hexdigest()[:6], 16) + asked.places.seed
    return in_fresh_processes("benchmarks.conversion.timing", arguments, processes=asked.processes, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
