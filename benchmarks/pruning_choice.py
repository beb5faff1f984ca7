"""What ``pruning`` cuts: each cut timed beside the dense model, and the fastest of several products.

Times are the low end of many short blocks of calls, in turn: other work on the machine does not touch it. What is
judged in the end is another matter, see ``harness``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Bar
from benchmarks.pruning_cases import PruningCase
from contracts.codec import from_plain, to_plain
from optimizer.calibration.rows import CalibrationSet
from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.passes import PruneChannels
from optimizer.passes.prune_channels.choices import Choice, possible_choices
from optimizer.passes.prune_channels.widths import format_widths
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Failure, Product
from optimizer.search.making import Attempt
from optimizer.search.proposing.widths import Guided, Taken, guided_widths
from optimizer.search.workbench import Workbench
from optimizer.served import serve
from optimizer.whole_file import write_whole

LIMIT: Final = 0.7
_WEIGHED: Final = 128
"""Training rows on which the harm of each cut is weighed."""
_ROUNDS: Final = 250
_WARM_UP: Final = 10
_ROWS: Final = 4
"""That each timed call answers, one by one."""
_LOW_END: Final = 5
"""Percentile of the times that is taken."""


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


def chosen_cuts(case: PruningCase, workbench: Workbench, folder: Path) -> Chosen:
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
    few = case.dataset.calibration.take(np.arange(_ROWS, dtype=np.int64))

    def take(attempts: Sequence[Attempt]) -> list[float | Failure]:
        made = [workbench.make(one) for one in attempts]
        calls = {
            str(place): timed_call(one.model, serve(one.model, case.model, ()).own_rows(few))
            for place, one in enumerate(made)
            if not isinstance(one, Failure)
        }
        times = _undisturbed(calls)
        return [one if isinstance(one, Failure) else times[str(place)] / 1e3 for place, one in enumerate(made)]

    return take


def _undisturbed(calls: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Return the low end of each call's times, in turn: what other work on the machine does not touch."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
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
    return fastest(case, workbench, attempts).words


def _account(case: PruningCase, words: str, guided: Guided | None) -> list[str]:
    """Return in words what each step of the choice bought."""
    if guided is None:
        return [f"{case.name}, {words}: no cut saves anything"]
    lines = [f"{case.name}, {words}: {1000 * guided.dense_ms:.0f} us dense"]
    lines += [f"  {step}" for step in guided.bought]
    ratio, expected = f"{guided.ratio:.2f} x", f"{1000 * guided.expected_ms:.0f} us"
    return [*lines, f"  together {1000 * guided.measured_ms:.0f} us ({ratio}), untrained; expected {expected}"]


def why_missed(name: str, cut: Chosen, latency: Bar) -> str:
    """Return by how much the latency misses its bar and why; empty where it does not."""
    over = latency.value - LIMIT
    if over <= 0:
        return ""
    narrow = f"with every layer at its narrowest the net would take {cut.least:.2f} x"
    if cut.least > LIMIT:
        return f"{name} is {over:.2f} x over: {narrow}, so its time is not spent on channels"
    chosen = (
        f"the widths came to {cut.widths.ratio:.2f} x when they were chosen"
        if cut.widths
        else "no cut alone saved anything"
    )
    return f"{name} is {over:.2f} x over: {chosen}; {narrow}"


def fastest(case: PruningCase, workbench: Workbench, offered: Sequence[Attempt]) -> Side:
    """Return the fastest of what could be made."""
    made = [workbench.make(one) for one in offered]
    products = [one for one in made if not isinstance(one, Failure)]
    if not products:
        raise SystemExit("; ".join(one.cause for one in made if isinstance(one, Failure)))
    times = [one for one in _taken(case, workbench)(offered) if not isinstance(one, Failure)]
    place = int(np.argmin(times))
    return Side(words=products[place].label, product=products[place], latency_ms=times[place])


def calibration_of(case: PruningCase) -> CalibrationSet:
    return CalibrationSet.of(case.dataset.calibration)


def _training_rows(case: PruningCase) -> Mapping[str, NDArray[np.generic]]:
    return calibration_of(case).take(case.model, case.model.inputs, _WEIGHED)


def timed_call(model: Model, kept: Mapping[str, NDArray[np.generic]]) -> Callable[[], float]:
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
