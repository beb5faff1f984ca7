"""Does cutting channels pay once the result is quantized, and what does it cost beside a dense control?

For each network: what each cut saves is measured after quantization, widths are chosen from that, the cut net and its
dense control get the same label-free training, and both are quantized. Answers are compared row by row with the
original's. Latencies are those of the best runtime for each side, by the one rule of ``harness``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import PROCESSES, Bar, Options, alternate, finish, in_fresh_processes, options, paired
from benchmarks.pruning_cases import CASES, PruningCase
from device_profiles.host import host_profile
from optimizer.benchmark.timing import Effort
from optimizer.calibration.rows import CalibrationSet
from optimizer.formats.session import open_session
from optimizer.metrics.classes import top_class
from optimizer.metrics.interval import paired_drop
from optimizer.model import Model
from optimizer.passes.prune_channels.choices import Choice, possible_choices
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Failure, Product
from optimizer.search.case import Bench, Case
from optimizer.search.making import Attempt
from optimizer.search.proposing.pruning import Guided, at_bench, guided_widths, pruned_attempts
from optimizer.search.workbench import Workbench
from optimizer.served import serve
from optimizer.store import FolderStore

QUESTION = "Is a pruned and quantized net at most 0.7 x the quantized dense one, and as good?"
LIMIT = 0.7
_EFFORT = Effort(runs=400, warmup=20, seconds=30.0, least_runs=60)
_ROUNDS = 200
_WARM_UP = 10
_WEIGHED = 128
"""Training rows on which the harm of each cut is weighed."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One kind of net on its best runtime: its words, its product, its milliseconds, and the drop from the original."""

    words: str
    product: Product
    latency_ms: float


def main() -> int:
    """Run the benchmark; exit 1 when a bar is missed."""
    if "--order" in sys.argv:
        return _child()
    chosen = options(QUESTION)
    if chosen.data is None:
        sys.stderr.write("give the folder of models and data: --data FOLDER, or EDGESHIP_DATA\n")
        return 2
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory(prefix="edgeship-pruning-") as folder:
        for name, case in CASES.items():
            bars += measured_case(case(chosen.data), chosen, Path(folder) / name)
    return finish(QUESTION, bars, chosen)


def measured_case(case: PruningCase, chosen: Options, folder: Path) -> list[Bar]:
    """Return the bars of one network; what was cut and why is printed on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    if chosen.quick:
        case = dataclasses.replace(case, training=dataclasses.replace(case.training, epochs=1, rounded_epochs=1))
    workbench = Workbench(
        Case(model=case.model, dataset=case.dataset, target=host_profile()),
        _calibration(case),
        bench=Bench(store=FolderStore(folder / "store")),
        budget=OptimizeBudget(),
        objective=Objective.LATENCY,
        told=lambda _words: None,
    )
    choices = possible_choices(case.model, _training_rows(case))
    _say(chosen, f"{case.name}: cannot be cut: " + "; ".join(f"{one} ({why})" for one, why in choices.refused.items()))
    offered: dict[str, list[Attempt]] = {
        "dense": [Attempt(label=f"{words}, dense", pipeline=Pipeline(*tail)) for words, tail in case.tails.items()]
    }
    fastest = _fastest(case, choices.choices, workbench, chosen)
    if fastest is not None:
        words, guided = fastest
        pruned, control = pruned_attempts(guided, case.tails[words], case.training, words=words)
        offered |= {"pruned": [pruned], "dense control": [control]}
    sides = {name: _best(workbench, attempts) for name, attempts in offered.items()}
    if "pruned" not in sides or sides["pruned"].latency_ms >= sides["dense"].latency_ms:
        dense = f"{sides['dense'].words}, {1000 * sides['dense'].latency_ms:.0f} us"
        _say(chosen, f"{case.name}: no cut net is faster than {dense}: its time is not spent on channels")
    return [*_accuracy(case, sides), *_latency(case, sides, chosen, folder)]


def _fastest(
    case: PruningCase, choices: Sequence[Choice], workbench: Workbench, chosen: Options
) -> tuple[str, Guided] | None:
    """Return the quantization on which the cut net is fastest, with its widths; only that one is trained."""
    found = {}
    for words, tail in case.tails.items():
        guided = guided_widths(choices, tail, at_bench(workbench, _EFFORT), ratio=case.ratio)
        if guided is None:
            _say(chosen, f"{case.name}, {words}: no cut saves anything")
            continue
        _say(chosen, *_account(case, words, guided))
        found[words] = guided
    return min(found.items(), key=lambda item: item[1].measured_ms) if found else None


def _account(case: PruningCase, words: str, guided: Guided) -> list[str]:
    """Return in words what each step of the choice bought."""
    lines = [f"{case.name}, {words}: {1000 * guided.dense_ms:.0f} us dense"]
    lines += [f"  {step}" for step in guided.bought]
    ratio, expected = f"{guided.ratio:.2f} x", f"{1000 * guided.expected_ms:.0f} us"
    return [*lines, f"  together {1000 * guided.measured_ms:.0f} us ({ratio}), untrained; expected {expected}"]


def _best(workbench: Workbench, offered: Sequence[Attempt]) -> Side:
    """Return the fastest of what could be made."""
    made = [workbench.make(one) for one in offered]
    products = [one for one in made if not isinstance(one, Failure)]
    if not products:
        raise SystemExit("; ".join(one.cause for one in made if isinstance(one, Failure)))
    times = [one.p50_ms for one in workbench.time(products, effort=_EFFORT)[1:]]
    place = int(np.argmin(times))
    return Side(words=products[place].label, product=products[place], latency_ms=times[place])


def _accuracy(case: PruningCase, sides: Mapping[str, Side]) -> list[Bar]:
    """Return for each side how many points it lost or won against the original on the scored rows."""
    label = case.dataset.label
    if label is None:
        raise SystemExit(f"{case.name} has no labels")
    original = _right(case, case.model)
    bars = []
    for name, side in sides.items():
        drop = paired_drop(original, _right(case, side.product.model))
        low, high = -100 * drop.high, -100 * drop.low
        judged = name == "pruned"
        bars.append(
            Bar(
                name=f"{case.name}: {name}, points against the original ({100 * original.mean():.2f} %)",
                value=-100 * drop.value,
                unit="points",
                n=len(label),
                low=low,
                high=high,
                target=f"low end > -{case.points:g}" if judged else "",
                peer="original, float",
                verdict=("held" if low > -case.points else "missed") if judged else "reported",
                note=side.words,
            )
        )
    return bars


def _latency(case: PruningCase, sides: Mapping[str, Side], chosen: Options, folder: Path) -> list[Bar]:
    """Return the ratio of pruned to dense, each on its best runtime, by the one rule."""
    arguments = ["--folder", str(folder)]
    rows = case.dataset.holdout.take(np.arange(16, dtype=np.int64))
    for name in ("dense", "pruned"):
        if name not in sides:
            return []
        model = sides[name].product.model
        model.save(folder / f"{name}{model.suffix}")
        own = serve(model, case.model, ()).own_rows(rows)
        np.savez(folder / f"{name}.npz", **own)  # type: ignore[arg-type] # arrays by name are what it takes
        arguments += [f"--{name}", f"{name}{model.suffix}"]
    processes = 2 if chosen.quick else PROCESSES
    answers = in_fresh_processes("benchmarks.pruning", arguments, processes=processes, seed=chosen.seed)
    return [
        paired(
            f"{case.name}: pruned ({sides['pruned'].words}) over dense ({sides['dense'].words})",
            ratios=[one["pruned"] / one["dense"] for one in answers],
            same=[one["again"] / one["dense"] for one in answers],
            limit=LIMIT,
            peer=f"quantized dense, {1000 * sides['dense'].latency_ms:.0f} us",
            seed=chosen.seed,
        )
    ]


def _right(case: PruningCase, model: Model) -> NDArray[np.bool_]:
    """Return for each scored row whether the model's first output has the label on top."""
    answers = serve(model, case.model, ()).infer(case.dataset.holdout)
    right: NDArray[np.bool_] = top_class(answers[case.model.outputs[0].name]) == case.dataset.label
    return right


def _calibration(case: PruningCase) -> CalibrationSet:
    return CalibrationSet.of(case.dataset.calibration)


def _training_rows(case: PruningCase) -> Mapping[str, NDArray[np.generic]]:
    return _calibration(case).take(case.model, case.model.inputs, _WEIGHED)


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
    calls = {side: _call(told.folder / file) for side, file in files.items()}
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    print(json.dumps(alternate(calls, rounds=_ROUNDS, order=told.order)))
    return 0


def _call(file: Path) -> Callable[[], float]:
    """Return a call that answers a few rows one by one and returns the microseconds of each."""
    model = Model.load(file)
    session = open_session(model, threads=1)
    with np.load(file.with_suffix(".npz")) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    count = len(next(iter(kept.values())))
    rows = [{name: values[place : place + 1] for name, values in kept.items()} for place in range(count)]

    def call() -> float:
        start = time.perf_counter_ns()
        for row in rows:
            session.run(row)
        return (time.perf_counter_ns() - start) / 1e3 / count

    return call


if __name__ == "__main__":
    sys.exit(main())
