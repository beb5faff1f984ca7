"""``python -m tests.slow [PART ...]``: the long suite, part by part, each at most 60 minutes.

A part is the tests marked ``long`` in one file of ``tests/long/``. Each run of a part prints its seed and adds
one line to ``docs/quality.md``: date, commit, seed, outcome and the figures that its tests recorded.
A test records a figure with ``tests.slow.record``; a part that runs no test fails.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONG = ROOT / "tests" / "long"
QUALITY = ROOT / "docs" / "quality.md"
LIMIT_S = 3600
SEED_VARIABLE = "EDGESHIP_SEED"
FIGURES_VARIABLE = "EDGESHIP_FIGURES"


def parts() -> dict[str, Path]:
    """Return the parts by name."""
    return {path.stem.removeprefix("test_"): path for path in sorted(LONG.glob("test_*.py"))}


def seed() -> int:
    """Return the seed of this run: what EDGESHIP_SEED says, else 7."""
    return int(os.environ.get(SEED_VARIABLE, "7"))


def record(name: str, value: object) -> None:
    """Add a figure to the line that this run writes."""
    place = os.environ.get(FIGURES_VARIABLE)
    if place:
        with Path(place).open("a", encoding="utf-8") as sink:
            sink.write(json.dumps([name, value]) + "\n")


def main(wanted: list[str]) -> int:
    """Run the named parts, or all; return 0 where all hold."""
    known = parts()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.stdout.write(f"no part {', '.join(unknown)}: there are {', '.join(known)}\n")
        return 2
    outcomes = [run(name, known[name]) for name in wanted or known]
    return 0 if all(outcomes) else 1


def run(name: str, path: Path) -> bool:
    """Run one part, write its line, and return whether it held."""
    chosen = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1 << 30))
    sys.stdout.write(f"{name}: seed {chosen} (repeat with {SEED_VARIABLE}={chosen} make slow PART={name})\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures"
        environment = {**os.environ, SEED_VARIABLE: str(chosen), FIGURES_VARIABLE: str(figures)}
        started = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-m", "long", "-p", "no:cacheprovider", str(path)]
        try:
            status = subprocess.run(command, cwd=ROOT, check=False, env=environment, timeout=LIMIT_S).returncode
        except subprocess.TimeoutExpired:
            status = -1
        minutes = (time.monotonic() - started) / 60
        lines = figures.read_text(encoding="utf-8").splitlines() if figures.exists() else []
    outcome = "held" if status == 0 else f"FAILED ({status})"
    write_line(name, f"seed {chosen}, {outcome}, {minutes:.1f} min", [json.loads(line) for line in lines])
    return status == 0


def write_line(name: str, outcome: str, figures: list[list[object]]) -> None:
    """Add one row to docs/quality.md."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    told = "; ".join(f"{figure} {value}" for figure, value in figures)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    with QUALITY.open("a", encoding="utf-8") as sink:
        sink.write(f"| {today} | {commit.stdout.strip() or '-'} | {name} | {outcome} | {told} |\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
