"""Is what the optimizer chooses for latency never slower than the original?

The parent makes, for each model, four files: the original, the optimizer's choice, and two peers made by ONNX
Runtime's own quantizer. A child process (``--order``) times one row through each of them, the original twice.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import PROCESSES, Bar, Options, alternate, finish, in_fresh_processes, options, paired, reported

if TYPE_CHECKING:
    from benchmarks.choice_cases import Case
    from optimizer.model import Model

QUESTION = "Is the artifact that the optimizer chooses for latency never slower than the original model?"
TARGET = "raspberry-pi-4"
SAME_WORK = "onnx float"
"""The label of the candidate that keeps the original's arithmetic: a bar of 1 on it would be decided by chance."""
LIMIT = 1.0
ORIGINAL, AGAIN, CHOSEN = "original", "original again", "chosen"
PEERS = {"ORT s8s8 per tensor": ("QInt8", False), "ORT u8s8 per channel": ("QUInt8", True)}
WARM_UP = 30
ROWS = 16


def measure(chosen: Options) -> list[Bar]:
    """Return the bars of every model."""
    from benchmarks.choice_cases import given_cases, made_cases

    cases = list(made_cases(seed=chosen.seed))
    if chosen.data is not None:
        cases += given_cases(chosen.data, seed=chosen.seed)
    bars = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            label = prepare(case, Path(folder))
            bars += judge(case, label, Path(folder), chosen)
    return bars


def prepare(case: Case, folder: Path) -> str:
    """Write the files of one model and return the choice's label."""
    from device_profiles import load_profile
    from optimizer.search.budget import Objective, OptimizeBudget
    from optimizer.search.optimize import optimize

    found = optimize(
        case.model,
        case.dataset,
        load_profile(TARGET),
        budget=OptimizeBudget(max_drop=0.01),
        objective=Objective.LATENCY,
    )
    if found.winner is None:
        raise SystemExit(f"{case.name}: no candidate holds a drop of one point")
    (name,) = case.dataset.holdout.names
    np.save(folder / "rows.npy", case.dataset.holdout[name][:ROWS])
    write_model(folder, ORIGINAL, case.model)
    write_model(folder, CHOSEN, found.winner.model)
    for peer, (activation, per_channel) in PEERS.items():
        quantize(case, folder / f"{peer}.onnx", activation=activation, per_channel=per_channel)
        write_facts(folder, peer, {"format": "onnx", "adapter": []})
    return found.winner.label


def write_model(folder: Path, side: str, model: Model) -> None:
    """Write the model's bytes and what its bytes do not say."""
    from contracts.codec import to_plain

    model.save(folder / f"{side}{model.suffix}")
    write_facts(folder, side, {"format": model.format.value, "adapter": [to_plain(step) for step in model.adapter]})


def write_facts(folder: Path, side: str, facts: dict[str, Any]) -> None:
    """Write what is needed to open the side's file."""
    (folder / f"{side}.json").write_text(json.dumps(facts), encoding="utf-8")


def quantize(case: Case, output: Path, *, activation: str, per_channel: bool) -> None:
    """Write the original as ONNX Runtime's ``quantize_static`` makes it, all else at its defaults."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    (name,) = case.dataset.calibration.names
    rows = iter([{name: row[None]} for row in case.dataset.calibration[name]])

    class Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
        """One row after the other."""

        def get_next(self) -> Any:
            return next(rows, None)

    source = output.with_suffix(".source.onnx")
    case.model.save(source)
    quantize_static(
        source,
        output,
        Reader(),
        activation_type=QuantType[activation],
        weight_type=QuantType.QInt8,
        per_channel=per_channel,
    )


def judge(case: Case, label: str, folder: Path, chosen: Options) -> list[Bar]:
    """Return one model's bars: the choice judged, its ratios to the peers reported."""
    rounds = 60 if chosen.quick else 400
    arguments = ["--folder", str(folder), "--rounds", str(rounds)]
    answers = in_fresh_processes("benchmarks.optimizer_choice", arguments, processes=PROCESSES, seed=chosen.seed)
    original = [answer[ORIGINAL] for answer in answers]
    name = f"{case.name} ({label}, {case.data})"
    ratios = [answer[CHOSEN] / answer[ORIGINAL] for answer in answers]
    return [
        reported(name, ratios, unit="x", peer="original", note="stays float in the same runtime: the same work")
        if label == SAME_WORK
        else paired(
            name,
            ratios=ratios,
            same=[answer[AGAIN] / answer[ORIGINAL] for answer in answers],
            limit=LIMIT,
            peer="original",
            seed=chosen.seed,
        ),
        *(
            reported(f"{case.name}: choice", [answer[CHOSEN] / answer[peer] for answer in answers], unit="x", peer=peer)
            for peer in PEERS
        ),
        reported(f"{case.name}: original, one row", [value * 1e6 for value in original], unit="us"),
    ]


def child(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the p50 seconds of one row for each side, all alternating in this process."""
    calls = {side: timed_call(arguments.folder, side) for side in (ORIGINAL, CHOSEN, *PEERS)}
    calls[AGAIN] = timed_call(arguments.folder, ORIGINAL)
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    return alternate(calls, rounds=arguments.rounds, order=arguments.order)


def timed_call(folder: Path, side: str) -> Callable[[], float]:
    """Return a call that serves one row and returns the seconds it took."""
    from contracts.codec import from_plain
    from contracts.preprocessing import Step
    from optimizer.model import Format, Model
    from optimizer.served import serve

    facts = json.loads((folder / f"{side}.json").read_text(encoding="utf-8"))
    kind = Format(facts["format"])
    content = (folder / f"{side}.{kind.value}").read_bytes()
    adapter = tuple(from_plain(Step, step) for step in facts["adapter"])
    model = Model.from_bytes(kind, content, name="timed", adapter=adapter)
    original = Model.load(folder / f"{ORIGINAL}.onnx", name="original")
    (spec,) = original.inputs
    call = serve(model, original, ()).one_row({spec.name: np.load(folder / "rows.npy")})

    def timed() -> float:
        started = time.perf_counter()
        call()
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
    asked = options(QUESTION)
    if asked.data is None:
        print("no --data and no EDGESHIP_DATA: only models that this benchmark makes itself", file=sys.stderr)
    sys.exit(finish(QUESTION, measure(asked), asked))
