"""Where an artifact comes from and what was measured of it."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.manifest import Lineage, Measurement, TakenOn
from optimizer.benchmark.machine import machine_in_words

if TYPE_CHECKING:
    from optimizer.data.dataset import Dataset
    from optimizer.search.candidate import Candidate


def measurements(candidate: Candidate) -> tuple[Measurement, ...]:
    """Return what was measured of the candidate: latency and memory where its runner took them, all else on a host."""
    timing, fidelity = candidate.latency, candidate.fidelity
    by_runner = (
        ("latency_p50_ms", timing.p50_ms, timing.n),
        ("latency_p95_ms", timing.p95_ms, timing.n),
        ("memory_bytes", candidate.memory_bytes, 1),
    )
    by_host = (
        ("model_size_bytes", candidate.size_bytes, 1),
        (fidelity.metric, fidelity.value, fidelity.n),
        (f"original_{fidelity.metric}", fidelity.original, fidelity.n),
    )
    here = timing.machine if timing.taken_on is TakenOn.HOST else machine_in_words()
    return (
        *(_measurement(figure, timing.taken_on, timing.machine) for figure in by_runner),
        *(_measurement(figure, TakenOn.HOST, here) for figure in by_host),
    )


def _measurement(figure: tuple[str, float, int], taken_on: TakenOn, machine: str) -> Measurement:
    name, value, n = figure
    return Measurement(name=name, value=float(value), n=n, taken_on=taken_on, machine=machine)


def lineage_of(candidate: Candidate, dataset: Dataset) -> Lineage:
    """Return the digests of what went in, the passes, and the versions of code and tools."""
    return Lineage(
        source=candidate.product.source,
        data=dataset.digest,
        passes=tuple(step.text for step in candidate.lineage),
        code_version=code_version(),
        tools=dict(candidate.product.tools),
    )


def code_version() -> str:
    """Return the installed version of edgeship, and the commit where it runs from a checkout."""
    try:
        version = importlib.metadata.version("edgeship")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git") if (root / ".git").exists() else None
    if git is None:
        return version
    command = (git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 fixed words
    return f"{version}+{found.stdout.strip()}" if found.returncode == 0 else version
