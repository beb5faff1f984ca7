"""The converters: ours from the ONNX file, litert-torch from the torch module, onnx2tf from either exporter's file.

Each runs in a process of its own with a limit. What the peers gave is kept by the content of all that it depends on;
ours is made anew each time: it is what is judged, and takes a second. A failure is a result like any other.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.conversion.subjects import Subject
from benchmarks.peers.environments import ROOT, EnvironmentFailed, pinned, python_of
from benchmarks.peers.work import run_kept

INSIDE: Final = ROOT / "benchmarks" / "conversion" / "inside"
OURS: Final = "edgeship"
UNROLLED: Final = "edgeship, unrolled"
LITERT_TORCH: Final = "litert-torch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """One peer: its environment, the script that runs in it with which of its switches."""

    name: str
    environment: str
    script: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What a converter gave: a file, or in words why there is none. ``seconds`` are of the whole process."""

    name: str
    path: Path | None
    seconds: float
    error: str = ""


PEERS: Final = (
    Converter(name=LITERT_TORCH, environment="litert-torch", script="to_litert"),
    Converter(name="onnx2tf", environment="onnx2tf", script="to_onnx2tf"),
    Converter(name="onnx2tf, legacy export", environment="onnx2tf", script="to_onnx2tf", flags=("--legacy",)),
)


def by_peer(
    peer: Converter, subject: Subject, *, cache: Path, limit_s: float, told: Callable[[str], None], anew: bool = False
) -> Converted:
    """Return what the peer gives for the model, kept from before or made now; ``anew`` makes it now for its time."""
    if peer.name == LITERT_TORCH and not subject.in_torch:
        return Converted(name=peer.name, path=None, seconds=0.0, error="reads torch modules only, and there is none")
    if "--legacy" in peer.flags and subject.legacy.read_bytes() == subject.model.read_bytes():
        return Converted(name=peer.name, path=None, seconds=0.0, error="the same file")
    scripts = b"".join((INSIDE / f"{name}.py").read_bytes() for name in ("exchange", peer.script))
    key = (subject.digest, peer.flags, hashlib.sha256(scripts).hexdigest(), pinned(peer.environment), limit_s)
    kept = (
        cache / "conversion" / "results" / f"{peer.environment}-{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}"
    )
    if anew or not (kept / "result.json").exists():
        try:
            python = python_of(peer.environment, cache, told)
        except EnvironmentFailed as error:
            return Converted(name=peer.name, path=None, seconds=0.0, error=str(error))
        command = [str(python), "-m", f"benchmarks.conversion.inside.{peer.script}", str(subject.folder)]
        run_kept(command, peer.flags, kept, limit_s=limit_s)
    return _read(peer.name, kept)


def by_us(subject: Subject, *, cache: Path, limit_s: float, unrolled: bool = False) -> Converted:
    """Return what this source gives for the model, made now in a fresh process.

    Args:
        subject: the model.
        cache: where the file is put.
        limit_s: how many seconds it may take.
        unrolled: recurrent layers step by step, the other form among which the search's measurement chooses.
    """
    flags = ("--unrolled",) if unrolled else ()
    name = UNROLLED if unrolled else OURS
    kept = cache / "conversion" / "results" / f"{name.replace(', ', '-')}-{subject.folder.name}"
    run_kept([sys.executable, "-m", "benchmarks.conversion.ours", str(subject.folder)], flags, kept, limit_s=limit_s)
    return _read(name, kept)


def _read(name: str, kept: Path) -> Converted:
    facts = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    path = kept / "out.tflite"
    error = facts["error"] or ("" if path.exists() else "wrote no file")
    return Converted(
        name=name,
        path=None if error else path,
        seconds=facts["process_seconds"],
        error=f"fails: {error}" if error else "",
    )
