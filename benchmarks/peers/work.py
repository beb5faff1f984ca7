"""Run a peer's recipe, or our own search, on one model, in a process of its own with a limit; keep what it gave.

What was given is kept by the content of all that it depends on (model, rows, script, versions), so a benchmark that
was killed continues where it was. A failure is a result like any other, and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from benchmarks.peers.cases import Case, digest_of_case
from benchmarks.peers.environments import HERE, ROOT, EnvironmentFailed, pinned, python_of
from benchmarks.peers.recipes import Recipe
from benchmarks.peers.sides import save_arrays

OURS = ("contracts", "device_profiles", "optimizer")
READS_ONNX_ONLY = "reads no TFLite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a recipe gave: a file, or in words why there is none. ``seconds`` are of the whole process.

    ``runtimes`` are the best files of the same search for each runtime alone, where it was ours.
    """

    name: str
    path: Path | None
    seconds: float
    peak_rss_bytes: int
    error: str = ""
    label: str = ""
    adapter: tuple[dict[str, Any], ...] = ()
    runtimes: tuple[Result, ...] = ()


def write_case(case: Case, reference: dict[str, NDArray[Any]], folder: Path) -> Path:
    """Write what a search is given of the case, once; return the folder.

    Args:
        case: the model and its rows.
        reference: the original's answers to the judged rows by output, for searches that have no labels.
        folder: where; a folder that is there already is left as it is.
    """
    place = folder / digest_of_case(case)[:20]
    if (place / "case.json").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(case.model, place / f"model{case.model.suffix}")
    save_arrays(place / "calibration.npz", case.calibration.rows)
    held: dict[str, NDArray[Any]] = {f"reference/{name}": values for name, values in reference.items()}
    if case.judged.label is not None:
        held = {"label": case.judged.label}
    save_arrays(place / "validation.npz", {**case.judged.rows, **held})
    facts = {
        "name": case.name,
        "model": f"model{case.model.suffix}",
        "transformer": case.transformer,
        "metric": case.metric,
        "max_drop": case.max_drop,
    }
    (place / "case.json").write_text(json.dumps(facts), encoding="utf-8")
    return place


def peer_result(
    recipe: Recipe, case: Case, given: Path, *, cache: Path, limit_s: float, told: Callable[[str], None]
) -> Result:
    """Return what the recipe gives for the case, made now or kept."""
    if case.model.suffix == ".tflite":
        return _none(recipe.name, READS_ONNX_ONLY)
    if recipe.transformers_only and not case.transformer:
        return _none(recipe.name, "not recommended here: original unchanged")
    scripts = b"".join((HERE / "inside" / f"{name}.py").read_bytes() for name in ("exchange", recipe.script))
    key = (digest_of_case(case), recipe.flags, hashlib.sha256(scripts).hexdigest(), pinned(recipe.environment), limit_s)
    kept = cache / "results" / f"{recipe.environment}-{_digest(key)[:20]}"
    if not (kept / "result.json").exists():
        try:
            python = python_of(recipe.environment, cache, told)
        except EnvironmentFailed as error:
            return _none(recipe.name, str(error))
        script = f"benchmarks.peers.inside.{recipe.script}"
        run_kept([str(python), "-m", script, str(given)], recipe.flags, kept, limit_s=limit_s)
    return _read(recipe.name, kept)


def our_result(case: Case, given: Path, *, objective: str, cache: Path, limit_s: float) -> Result:
    """Return our own choice for the case, made now or kept for this very source of ours."""
    key = (digest_of_case(case), objective, source_digest(), limit_s)
    kept = cache / "results" / f"edgeship-{_digest(key)[:20]}"
    if not (kept / "result.json").exists():
        command = [sys.executable, "-m", "benchmarks.peers.ours", str(given)]
        run_kept(command, ("--objective", objective), kept, limit_s=limit_s)
    return _read(f"edgeship, {objective}", kept)


def source_digest() -> str:
    """Return the digest of every source file that our search depends on."""
    total = hashlib.sha256()
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".toml"):
                total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return total.hexdigest()


def run_kept(command: list[str], flags: tuple[str, ...], kept: Path, *, limit_s: float) -> None:
    """Run a script that writes into the folder named after its command; the folder appears whole or not at all."""
    making = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    started = time.perf_counter()
    line = limited([*command, str(making), *flags], making / "log.txt", limit_s=limit_s)
    note = making / "result.json"
    facts = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {"peak_rss_bytes": 0, "error": line}
    facts["process_seconds"] = time.perf_counter() - started
    note.write_text(json.dumps(facts), encoding="utf-8")
    shutil.rmtree(kept, ignore_errors=True)
    making.rename(kept)


def limited(
    command: list[str], log: Path, *, limit_s: float, surroundings: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run the command, its words in the log; return why it ended badly, in a line, or nothing.

    What it started ends with it.
    """
    with log.open("wb") as words:
        process = subprocess.Popen(
            command,
            stdout=words,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=os.environ | dict(surroundings),
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"not done after {limit_s:g} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status == 0:
        return ""
    said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"status {status}: {said[-1].strip()[:200] if said else 'no word'}"


def _read(name: str, kept: Path) -> Result:
    facts = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    files = sorted(kept.glob("out.*"))
    error = facts["error"] or ("" if files else "wrote no file")
    runtimes = tuple(
        Result(
            name=f"edgeship, {runtime} alone",
            path=kept / one["file"],
            seconds=facts["process_seconds"],
            peak_rss_bytes=facts["peak_rss_bytes"],
            label=one["label"],
            adapter=tuple(one["adapter"]),
        )
        for runtime, one in facts.get("runtimes", {}).items()
    )
    return Result(
        runtimes=runtimes,
        name=name,
        path=files[0] if files and not error else None,
        seconds=facts["process_seconds"],
        peak_rss_bytes=facts["peak_rss_bytes"],
        error=f"fails: {error}" if error else "",
        label=facts.get("label", ""),
        adapter=tuple(facts.get("adapter", ())),
    )


def _none(name: str, why: str) -> Result:
    return Result(name=name, path=None, seconds=0.0, peak_rss_bytes=0, error=why)


def _digest(key: object) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()
