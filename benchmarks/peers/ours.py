"""Our own choice on one model, in a process of its own: the search with its defaults, this machine as the target."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.inside.exchange import peak_rss_bytes

if TYPE_CHECKING:
    from optimizer.search.candidate import Candidate


def main() -> int:
    """Search as the command line names; write the choice and what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--objective", choices=("latency", "size"), required=True)
    asked = parser.parse_args()
    started = time.perf_counter()
    note = chosen(asked.folder, asked.output, asked.objective)
    note["seconds"] = time.perf_counter() - started
    note["peak_rss_bytes"] = peak_rss_bytes()
    (asked.output / "result.json").write_text(json.dumps(note), encoding="utf-8")
    return 0


def chosen(folder: Path, output: Path, objective: str) -> dict[str, Any]:
    """Write the chosen file; return its label, its adapter and what kept there from being one."""
    from contracts.codec import to_plain
    from contracts.manifest import TakenOn
    from device_profiles import load_profile
    from optimizer.benchmark.runner import HostRunner
    from optimizer.data.dataset import Dataset
    from optimizer.errors import OptimizerError
    from optimizer.model import Model
    from optimizer.search.budget import Objective, OptimizeBudget
    from optimizer.search.case import Bench, Case
    from optimizer.search.optimize import search

    facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    judged = _arrays(folder / "validation.npz")
    label = None if facts["metric"] in ("agreement", "cosine") else judged.get("label")
    rows = {name: values for name, values in judged.items() if name != "label" and not name.startswith("reference/")}
    try:
        case = Case(
            model=Model.load(folder / facts["model"], name=facts["name"].replace(".", "-").replace("_", "-").lower()),
            dataset=Dataset.of(calibration=_arrays(folder / "calibration.npz"), holdout=rows, label=label),
            target=load_profile("host"),
            metric=facts["metric"],
        )
        found = search(
            case,
            budget=OptimizeBudget(max_drop=facts["max_drop"]),
            objective=Objective(objective),
            bench=Bench(runner=HostRunner(taken_on=TakenOn.TARGET)),
            progress=_told,
        )
    except OptimizerError as error:
        return {"error": f"{error.code}: {error}", "label": "", "adapter": []}
    if found.winner is None:
        return {"error": "no candidate holds the budget", "label": "", "adapter": []}
    winner = found.winner
    winner.model.save(output / f"out{winner.model.suffix}")
    return {
        "runtimes": _best_of_each_runtime(found.candidates, output),
        "error": "",
        "label": winner.label,
        "reason": winner.reason,
        "adapter": [to_plain(step) for step in winner.preprocessing],
        "candidates": [
            [one.label, one.size_bytes, one.ratio, one.fidelity.drop.value, one.verdict.value, one.reason]
            for one in found.candidates
        ],
        "failures": [[one.label, one.step, one.cause] for one in found.failures],
    }


def _best_of_each_runtime(candidates: Sequence[Candidate], output: Path) -> dict[str, dict[str, Any]]:
    """Write the fastest candidate of each runtime that holds the budget; return its file, label and adapter."""
    from contracts.codec import to_plain
    from optimizer.search.candidate import Verdict

    found: dict[str, dict[str, Any]] = {}
    for one in sorted(candidates, key=lambda one: one.ratio):
        runtime = str(one.model.format.shipped_as)
        if runtime in found or one.verdict in (Verdict.OVER_BUDGET, Verdict.UNFIT):
            continue
        name = f"best-{runtime}{one.model.suffix}"
        one.model.save(output / name)
        adapter = [to_plain(step) for step in one.preprocessing]
        found[runtime] = {"file": name, "label": one.label, "adapter": adapter}
    return found


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _told(what: str, share: float) -> None:
    print(f"{100 * share:3.0f} % {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
