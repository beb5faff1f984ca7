"""How far each file's answers are from the original's, on rows that nobody calibrated with, one by one as served."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.cases import BUDGET, Case
from benchmarks.peers.sides import Side, opened, save_arrays
from optimizer.metrics.choosing import choose_metric
from optimizer.metrics.fidelity import Fidelity, compare

FAR_END = 0.015
"""Where n cannot resolve the budget, the far end of the interval may reach so far."""


def answers_of(side: Side, case: Case, cache: Path) -> dict[str, NDArray[np.float32]]:
    """Return every output for the scored rows; kept by the content of the file and of the rows."""
    kept = cache / "answers" / f"{_digest(side, case)}.npz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        call = opened(side, list(case.scored.rows))
        each = [call(row) for row in _rows(case)]
        arrays = [np.concatenate(parts).astype(np.float32) for parts in zip(*each, strict=True)]
        whole = kept.with_suffix(".part.npz")
        save_arrays(whole, {f"{place:02}": values for place, values in enumerate(arrays)})
        whole.replace(kept)
    with np.load(kept, allow_pickle=False) as held:
        return {name: held[name] for name in sorted(held.files)}


def score(answers: dict[str, NDArray[np.float32]], reference: dict[str, NDArray[np.float32]], case: Case) -> Fidelity:
    """Return how far the answers are from the original's by the case's metric; outputs pair by place."""
    label = None if case.metric in ("agreement", "cosine") else case.scored.label
    metric = choose_metric(case.metric, reference, label)
    return compare(answers, reference, label, metric)


def keeps(fidelity: Fidelity, case: Case) -> bool:
    """Return whether the answers count as kept: the one rule for ours and for every peer.

    The interval of the drop lies within the budget, or reaches over it no further than ``FAR_END``.
    """
    if case.max_drop is None:
        return True
    return fidelity.drop.low <= case.max_drop and fidelity.drop.high <= max(case.max_drop, FAR_END)


def resolved(fidelity: Fidelity, case: Case) -> bool:
    """Return whether the interval lies on one side of the budget."""
    return case.max_drop is None or not fidelity.drop.low <= case.max_drop < fidelity.drop.high


def judged_strictly(case: Case) -> bool:
    """Return whether the case has an accuracy to keep."""
    return case.max_drop is not None and case.max_drop <= BUDGET


def _rows(case: Case) -> list[dict[str, NDArray[np.generic]]]:
    rows = case.scored.rows
    return [{name: values[place : place + 1] for name, values in rows.items()} for place in range(case.scored.count)]


def _digest(side: Side, case: Case) -> str:
    total = hashlib.sha256(side.path.read_bytes())
    total.update(repr(side.adapter).encode())
    for name, values in case.scored.rows.items():
        total.update(name.encode() + values.tobytes())
    return total.hexdigest()
