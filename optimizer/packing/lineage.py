"""Where an artifact comes from and what was measured of it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.manifest import Commit, Lineage, Measurement, TakenOn
from optimizer.benchmark.machine import machine_in_words
from optimizer.model import Format, Model
from optimizer.pass_ import Pass

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def lineage_of(
    candidate: Candidate,
    dataset: Dataset,
    *,
    data_version: str = "",
    commit: Commit | None = None,
    steps: Sequence[Pass] = (),
) -> Lineage:
    """Return the digests of what went in, the passes, the versions of code and tools, and what they ran on.

    Args:
        candidate: what is packed.
        dataset: what it was judged by.
        data_version: the owners' name for the state of the data.
        commit: of the folder in which the work is kept.
        steps: the passes, to spell them with every parameter; else those are told that differ from their defaults.
    """
    return Lineage(
        source=candidate.product.source,
        data=dataset.digest,
        passes=tuple(map(_whole, steps)) or tuple(step.text for step in candidate.lineage),
        code_version=code_version(),
        tools={**_installed("numpy", runtime_of(candidate.model)), **candidate.product.tools},
        data_version=data_version,
        commit=commit,
        environment=environment(),
    )


def runtime_of(model: Model) -> str:
    """Return the distribution that runs such a file, here as on the device."""
    return "ai-edge-litert" if model.format is Format.TFLITE else "onnxruntime"


def environment() -> dict[str, str]:
    """Return what the tools run on here: Python, system, processor, C library."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.system(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
    }


def commit_of(folder: Path) -> Commit | None:
    """Return the git commit that the folder is at, and whether files differ from it; None where git keeps none."""
    git = shutil.which("git")
    revision = _git(git, folder, "rev-parse", "HEAD") if git else None
    if git is None or revision is None:
        return None
    changed = _git(git, folder, "status", "--porcelain", "--untracked-files=no")
    return Commit(revision=revision, dirty=changed is None or bool(changed))


def code_version() -> str:
    """Return the installed version of edgeship, and the commit where it runs from a checkout."""
    try:
        version = importlib.metadata.version("edgeship")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    root = Path(__file__).resolve().parents[2]
    git = shutil.which("git") if (root / ".git").exists() else None
    described = _git(git, root, "describe", "--always", "--dirty", "--abbrev=12") if git else None
    return version if described is None else f"{version}+{described}"


def _git(git: str, folder: Path, *words: str) -> str | None:
    """Return what git says of the folder; None where it says nothing within ten seconds."""
    try:
        found = subprocess.run(  # noqa: S603 fixed words
            (git, "-C", str(folder), *words), capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _whole(step: Pass) -> str:
    """Return the pass with its version and every parameter: defaults may change, this account must not."""
    told = ", ".join(f"{item.name}={getattr(step, item.name)}" for item in dataclasses.fields(step))
    return f"{step.name}[{step.version}]({told})"


def _installed(*distributions: str) -> dict[str, str]:
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
