"""Does cutting channels pay once the result is quantized, and what does it cost beside a dense control?

For each network: what each cut saves is measured after quantization, widths are chosen from that, the cut net and its
dense control get the same label-free training, and both are quantized. Answers are compared row by row with the
original's and with the control's. Latencies are those of the best runtime for each side, by the one rule of
``harness``. ``--cache FOLDER`` keeps the choice of widths and everything that was trained, so that a run which was
stopped goes on and one that is repeated only times again; ``--case NAME`` runs one network alone.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import PROCESSES, Bar, Options, alternate, finish, in_fresh_processes, options, paired
from benchmarks.pruning_cases import CASES, PruningCase
from benchmarks.pruning_choice import LIMIT, Chosen, Side, calibration_of, chosen_cuts, fastest, timed_call, why_missed
from device_profiles.host import host_profile
from optimizer.metrics.classes import top_class
from optimizer.metrics.interval import paired_drop
from optimizer.model import Model
from optimizer.passes import PruneChannels
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.case import Bench, Case
from optimizer.search.making import Attempt
from optimizer.search.proposing.pruning import pruned_attempts
from optimizer.search.workbench import Workbench
from optimizer.served import serve
from optimizer.store import FolderStore

QUESTION = "Is a pruned and quantized net at most 0.7 x the quantized dense one, and as good?"
_ROUNDS = 200
_ROWS = 16
"""That each timed call answers, one by one."""
_WARM_UP = 10


def main() -> int:
    """Run the benchmark; exit 1 when a bar is missed."""
    if "--order" in sys.argv:
        return _child()
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--cache", type=Path, help="folder that keeps what was chosen and trained")
    parser.add_argument("--case", choices=list(CASES), action="append", help="one network; may be repeated")
    own, sys.argv[1:] = parser.parse_known_args()
    chosen = options(QUESTION)
    if chosen.data is None:
        sys.stderr.write("give the folder of models and data: --data FOLDER, or EDGESHIP_DATA\n")
        return 2
    bars: list[Bar] = []
    with _folder(own.cache) as folder:
        for name in own.case or CASES:
            kept = folder / name
            kept.mkdir(parents=True, exist_ok=True)
            _say(chosen, f"{name}: progress is told in {kept / 'progress.log'}")
            bars += measured_case(CASES[name](chosen.data, kept), chosen, kept)
    return finish(QUESTION, bars, chosen)


def measured_case(case: PruningCase, chosen: Options, folder: Path) -> list[Bar]:
    """Return the bars of one network; what was cut and why is printed on the way."""
    if chosen.quick:
        case = dataclasses.replace(case, training=dataclasses.replace(case.training, epochs=1, rounded_epochs=1))
    with (folder / "progress.log").open("a", buffering=1) as log:
        workbench = Workbench(
            Case(model=case.model, dataset=case.dataset, target=host_profile()),
            calibration_of(case),
            bench=Bench(store=FolderStore(folder / "store")),
            budget=OptimizeBudget(),
            objective=Objective.LATENCY,
            told=lambda words: print(words, file=log),
        )
        cut = chosen_cuts(case, workbench, folder)
        _say(chosen, *cut.account)
        sides = {name: fastest(case, workbench, attempts) for name, attempts in _offered(case, cut).items()}
    bars = [*_accuracy(case, sides), _beside_control(case, sides), _latency(case, sides, chosen, folder)]
    why = why_missed(case.name, cut, bars[-1])
    if why:
        _say(chosen, why)
    return [*bars[:-1], with_reason(bars[-1], why, reachable=cut.least <= LIMIT)]


def with_reason(latency: Bar, why: str, *, reachable: bool) -> Bar:
    """Return the bar with the reason why it is missed; where no cut at all could reach it, saying so is the answer."""
    if not why:
        return latency
    verdict = latency.verdict if reachable else "reported"
    return dataclasses.replace(
        latency, note=f"{latency.note}; {why}", verdict=verdict, target=f"{latency.target}, or why not"
    )


def _offered(case: PruningCase, cut: Chosen) -> dict[str, list[Attempt]]:
    """Return the attempts of each kind; where no cut saves anything, half of all channels go, so that it is seen."""
    dense = [Attempt(label=f"{words}, dense", pipeline=Pipeline(*tail)) for words, tail in case.tails.items()]
    tail = case.tails[cut.words]
    if cut.widths is None:
        same = {item.name: getattr(case.training, item.name) for item in dataclasses.fields(case.training)}
        halved = PruneChannels(ratio=0.5, **same)
        pruned = Attempt(label=f"{cut.words}, half of all channels", pipeline=Pipeline(halved, *tail))
        control = Attempt(label=f"{cut.words}, dense control", pipeline=Pipeline(case.training, *tail))
    else:
        pruned, control = pruned_attempts(cut.widths, tail, case.training, words=cut.words)
    return {"dense": dense, "pruned": [pruned], "dense control": [control]}


def _accuracy(case: PruningCase, sides: Mapping[str, Side]) -> list[Bar]:
    """Return for each side how many points it lost or won against the original on the scored rows."""
    original = _right(case, case.model)
    return [
        points(
            f"{case.name}: {name}, points against the original ({100 * original.mean():.2f} %)",
            original,
            _right(case, side.product.model),
            limit=case.points if name == "pruned" else None,
            peer="original, float",
            note=side.words,
        )
        for name, side in sides.items()
    ]


def _beside_control(case: PruningCase, sides: Mapping[str, Side]) -> Bar:
    """Return how many points the pruned net lost or won against its dense control, which had the same training."""
    control, pruned = (_right(case, sides[name].product.model) for name in ("dense control", "pruned"))
    name = f"{case.name}: pruned, points against its dense control ({100 * control.mean():.2f} %)"
    return points(name, control, pruned, limit=None, peer="dense control", note=sides["dense control"].words)


def points(
    name: str, before: NDArray[np.bool_], after: NDArray[np.bool_], *, limit: float | None, peer: str, note: str
) -> Bar:
    """Return the change in points with its paired interval; judged where there is a limit to what may be lost."""
    drop = paired_drop(before, after)
    low, high = -100 * drop.high, -100 * drop.low
    missed = limit is not None and low <= -limit
    verdict = "reported" if limit is None else "missed" if missed else "held"
    return Bar(
        name=name,
        value=-100 * drop.value,
        unit="points",
        n=len(before),
        low=low,
        high=high,
        target="" if limit is None else f"low end > -{limit:g}",
        peer=peer,
        verdict=verdict,
        note=f"{note}; {-limit - low:.2f} points over the bar" if limit is not None and missed else note,
    )


def _latency(case: PruningCase, sides: Mapping[str, Side], chosen: Options, folder: Path) -> Bar:
    """Return the ratio of pruned to dense, each on its best runtime, by the one rule."""
    arguments = ["--folder", str(folder)]
    rows = case.dataset.holdout.take(np.arange(_ROWS, dtype=np.int64))
    for name in ("dense", "pruned"):
        model = sides[name].product.model
        model.save(folder / f"{name}{model.suffix}")
        own = serve(model, case.model, ()).own_rows(rows)
        np.savez(folder / f"{name}.npz", **own)  # type: ignore[arg-type] # arrays by name are what it takes
        arguments += [f"--{name}", f"{name}{model.suffix}"]
    processes = 2 if chosen.quick else PROCESSES
    answers = in_fresh_processes("benchmarks.pruning", arguments, processes=processes, seed=chosen.seed)
    return paired(
        f"{case.name}: pruned ({sides['pruned'].words}) over dense ({sides['dense'].words})",
        ratios=[one["pruned"] / one["dense"] for one in answers],
        same=[one["again"] / one["dense"] for one in answers],
        limit=LIMIT,
        peer=f"quantized dense, {1000 * sides['dense'].latency_ms:.0f} us",
        seed=chosen.seed,
    )


def _right(case: PruningCase, model: Model) -> NDArray[np.bool_]:
    """Return for each scored row whether the model's first output has the label on top."""
    label = case.dataset.label
    if label is None:
        raise SystemExit(f"{case.name} has no labels")
    answers = serve(model, case.model, ()).infer(case.dataset.holdout)
    right: NDArray[np.bool_] = top_class(answers[case.model.outputs[0].name]) == label
    return right


@contextlib.contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    """Yield the folder that keeps things: the one that was named, else one that vanishes."""
    if cache is not None:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="edgeship-pruning-") as folder:
        yield Path(folder)


def _say(chosen: Options, *lines: str) -> None:
    """Print what was found on the way; where the bars go out as JSON, on stderr."""
    for line in lines:
        print(line, file=sys.stderr if chosen.json else sys.stdout, flush=True)


def _child() -> int:
    """Time both files in this process, the dense one twice; print the medians in microseconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dense")
    parser.add_argument("--pruned")
    parser.add_argument("--order", type=int)
    told = parser.parse_args()
    files = {"dense": told.dense, "again": told.dense, "pruned": told.pruned}
    calls = {side: _call_of(told.folder / file) for side, file in files.items()}
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    print(json.dumps(alternate(calls, rounds=_ROUNDS, order=told.order)))
    return 0


def _call_of(file: Path) -> Callable[[], float]:
    with np.load(file.with_suffix(".npz")) as arrays:
        return timed_call(Model.load(file), {name: arrays[name] for name in arrays.files})


if __name__ == "__main__":
    sys.exit(main())
