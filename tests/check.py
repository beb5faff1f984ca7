"""``python -m tests.check``: everything that must hold at each change; ``--fast`` for the loop while working.

Runs format, lint, types, import contracts and the tests, prints how long each took, and ends with
pytest's own closing line. The first failure of a tool does not hide the others; any failure exits 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

FAST_TESTS = "not slow and not system and not long"
ALL_TESTS = "not long"


def main() -> int:
    """Run the steps; return 0 where all hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="leave out tests that are slow or need a system package")
    arguments = parser.parse_args()
    static = {
        "format": [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
        "lint": [str(BIN / "ruff"), "check", "--quiet", "."],
        "types": [str(BIN / "mypy")],
        "imports": [str(BIN / "lint-imports")],
    }
    failed = [name for name, command in static.items() if not holds(name, command)]
    selected = FAST_TESTS if arguments.fast else ALL_TESTS
    tests = [sys.executable, "-m", "pytest", "-q", "-m", selected, "-n", "2", "--dist", "loadfile"]
    if not holds("tests", tests, quiet=False):
        failed.append("tests")
    if failed:
        sys.stdout.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def holds(name: str, command: list[str], *, quiet: bool = True) -> bool:
    """Run one step and print its time; show what it said where it failed."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=quiet, text=True)
    word = "ok" if done.returncode == 0 else "FAILED"
    sys.stdout.write(f"{name:8s} {word:6s} {time.monotonic() - started:6.1f} s\n")
    if quiet and done.returncode:
        sys.stdout.write(done.stdout + done.stderr)
    sys.stdout.flush()
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
