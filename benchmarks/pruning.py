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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import PROCESSES, Bar, Options, alternate, finish, in_fresh_processes, options, paired
from benchmarks.pruning_cases import CASES, PruningCase
from contracts.codec import from_plain, to_plain
from device_profiles.host import host_profile
from optimizer.calibration.rows import CalibrationSet
from optimizer.formats.session import open_session
from optimizer.metrics.classes import top_class
from optimizer.metrics.interval import paired_drop
from optimizer.model import Model
from optimizer.passes import PruneChannels
from optimizer.passes.prune_channels.choices import Choice, possible_choices
from optimizer.passes.prune_channels.widths import format_widths
from optimizer.pipeline import Pipeline
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Failure, Product
from optimizer.search.case import Bench, Case
from optimizer.search.making import Attempt
from optimizer.search.proposing.pruning import pruned_attempts
from optimizer.search.proposing.widths import Guided, Taken, guided_widths
from optimizer.search.workbench import Workbench
from optimizer.served import serve
from optimizer.store import FolderStore
from optimizer.whole_file import write_whole

QUESTION = "Is a pruned and quantized net at most 0.7 x the quantized dense one, and as good?"
LIMIT = 0.7
_ROUNDS = 200
_WEIGHING_ROUNDS = 250
_WEIGHING_ROWS = 4
_LOW_END = 5
"""Percentile of the times of a cut that is weighed; what is judged is the median, on a machine that is quiet."""
_ROWS = 16
"""That each timed call answers, one by one."""
_WARM_UP = 10
_WEIGHED = 128
"""Training rows on which the harm of each cut is weighed."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One kind of net on its best runtime: its words, its product, its milliseconds, and the drop from the original."""

    words: str
    product: Product
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What is cut, for which quantization, and how fast a net would be of which every layer is cut to its narrowest.

    ``widths`` is None where no cut saves anything. ``least`` is a share of the dense time, and so is what the widths
    come to; ``account`` says in words what was measured.
    """

    words: str
    widths: Guided | None
    least: float
    account: tuple[str, ...]


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
            _calibration(case),
            bench=Bench(store=FolderStore(folder / "store")),
            budget=OptimizeBudget(),
            objective=Objective.LATENCY,
            told=lambda words: print(words, file=log),
        )
        cut = _chosen(case, workbench, folder)
        _say(chosen, *cut.account)
        sides = {name: _best(case, workbench, attempts) for name, attempts in _offered(case, cut).items()}
    bars = [*_accuracy(case, sides), _beside_control(case, sides), _latency(case, sides, chosen, folder)]
    why = _why(case, cut, bars[-1])
    if why:
        _say(chosen, why)
    return [*bars[:-1], _with_reason(bars[-1], why, reachable=cut.least <= LIMIT)]


def _with_reason(latency: Bar, why: str, *, reachable: bool) -> Bar:
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


def _chosen(case: PruningCase, workbench: Workbench, folder: Path) -> Chosen:
    """Return what is cut, as the folder has it, else measured now and kept there."""
    file = folder / "cuts.json"
    if file.is_file():
        return from_plain(Chosen, json.loads(file.read_text()))
    found = _measured(case, workbench)
    write_whole(file, json.dumps(to_plain(found), indent=1).encode())
    return found


def _measured(case: PruningCase, workbench: Workbench) -> Chosen:
    """Return the quantization on which the cut net is fastest, with its widths; only that one is trained."""
    choices = possible_choices(case.model, _training_rows(case))
    refused = "; ".join(f"{one} ({why})" for one, why in choices.refused.items())
    account = [f"{case.name}: cannot be cut: {refused}"]
    found = {}
    take = _taken(case, workbench)
    for words, tail in case.tails.items():
        guided = guided_widths(choices.choices, tail, take, ratio=case.ratio)
        account += _account(case, words, guided)
        if guided is not None:
            found[words] = guided
    words = min(found, key=lambda one: found[one].measured_ms) if found else _fastest_dense(case, workbench)
    tail = case.tails[words]
    narrow = Attempt(label="as narrow as can be", pipeline=Pipeline(_narrowest(choices.choices), *tail))
    dense_ms, least_ms = take([Attempt(label="dense", pipeline=Pipeline(*tail)), narrow])
    least = 0.0 if isinstance(least_ms, Failure) or isinstance(dense_ms, Failure) else least_ms / dense_ms
    return Chosen(words=words, widths=found.get(words), least=least, account=tuple(account))


def _taken(case: PruningCase, workbench: Workbench) -> Taken:
    """Return what makes and times attempts: alternating, each over a few rows at a time."""
    few = case.dataset.calibration.take(np.arange(_WEIGHING_ROWS, dtype=np.int64))

    def take(attempts: Sequence[Attempt]) -> list[float | Failure]:
        made = [workbench.make(one) for one in attempts]
        calls = {
            str(place): _call(one.model, serve(one.model, case.model, ()).own_rows(few))
            for place, one in enumerate(made)
            if not isinstance(one, Failure)
        }
        times = _undisturbed(calls)
        return [one if isinstance(one, Failure) else times[str(place)] / 1e3 for place, one in enumerate(made)]

    return take


def _undisturbed(calls: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Return the low end of each call's times, in turn: what other work on the machine does not touch."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_WEIGHING_ROUNDS):
        for name, call in calls.items():
            samples[name].append(call())
    return {name: float(np.percentile(taken[_WARM_UP:], _LOW_END)) for name, taken in samples.items()}


def _narrowest(choices: Sequence[Choice]) -> PruneChannels:
    """Return the cut of every layer to its narrowest, untrained: what it saves is the most that cuts can save."""
    widths: dict[str, int] = {}
    for one in choices:
        if one.width:
            widths[one.layer] = min(one.width, widths.get(one.layer, one.width))
    return PruneChannels(widths=format_widths(widths), epochs=0, rounded_epochs=0, rows=2)


def _fastest_dense(case: PruningCase, workbench: Workbench) -> str:
    attempts = [Attempt(label=words, pipeline=Pipeline(*tail)) for words, tail in case.tails.items()]
    return _best(case, workbench, attempts).words


def _account(case: PruningCase, words: str, guided: Guided | None) -> list[str]:
    """Return in words what each step of the choice bought."""
    if guided is None:
        return [f"{case.name}, {words}: no cut saves anything"]
    lines = [f"{case.name}, {words}: {1000 * guided.dense_ms:.0f} us dense"]
    lines += [f"  {step}" for step in guided.bought]
    ratio, expected = f"{guided.ratio:.2f} x", f"{1000 * guided.expected_ms:.0f} us"
    return [*lines, f"  together {1000 * guided.measured_ms:.0f} us ({ratio}), untrained; expected {expected}"]


def _why(case: PruningCase, cut: Chosen, latency: Bar) -> str:
    """Return by how much the latency misses its bar and why; empty where it does not."""
    over = latency.value - LIMIT
    if over <= 0:
        return ""
    narrow = f"with every layer at its narrowest the net would take {cut.least:.2f} x"
    if cut.least > LIMIT:
        return f"{case.name} is {over:.2f} x over: {narrow}, so its time is not spent on channels"
    chosen = (
        f"the widths came to {cut.widths.ratio:.2f} x when they were chosen" if cut.widths else "no cut alone saved"
    )
    return f"{case.name} is {over:.2f} x over: {chosen}; {narrow}"


def _best(case: PruningCase, workbench: Workbench, offered: Sequence[Attempt]) -> Side:
    """Return the fastest of what could be made."""
    made = [workbench.make(one) for one in offered]
    products = [one for one in made if not isinstance(one, Failure)]
    if not products:
        raise SystemExit("; ".join(one.cause for one in made if isinstance(one, Failure)))
    times = [one for one in _taken(case, workbench)(offered) if not isinstance(one, Failure)]
    place = int(np.argmin(times))
    return Side(words=products[place].label, product=products[place], latency_ms=times[place])


def _accuracy(case: PruningCase, sides: Mapping[str, Side]) -> list[Bar]:
    """Return for each side how many points it lost or won against the original on the scored rows."""
    original = _right(case, case.model)
    return [
        _points(
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
    return _points(name, control, pruned, limit=None, peer="dense control", note=sides["dense control"].words)


def _points(
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
    calls = {side: _call_of(told.folder / file) for side, file in files.items()}
    for call in calls.values():
        for _ in range(_WARM_UP):
            call()
    print(json.dumps(alternate(calls, rounds=_ROUNDS, order=told.order)))
    return 0


def _call_of(file: Path) -> Callable[[], float]:
    with np.load(file.with_suffix(".npz")) as arrays:
        return _call(Model.load(file), {name: arrays[name] for name in arrays.files})


def _call(model: Model, kept: Mapping[str, NDArray[np.generic]]) -> Callable[[], float]:
    """Return a call that answers a few rows one by one and returns the microseconds of each."""
    session = open_session(model, threads=1)
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
