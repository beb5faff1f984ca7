"""A virtual environment for each peer, made on first use from its pinned requirements, kept by their content.

A package whose own metadata would refuse this Python or these versions stands in ``NAME-alone.txt``: installed last,
by itself, whatever it asks for.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

READY = "ready"
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class EnvironmentFailed(Exception):
    """A peer could not be installed; the text is pip's own last line."""


def requirements(name: str) -> Path:
    """Return the file of an environment's pinned requirements."""
    return HERE / f"{name}.txt"


def alone(name: str) -> Path:
    """Return the file of what is installed whatever it asks for; most environments have none."""
    return HERE / f"{name}-alone.txt"


def python_of(name: str, cache: Path, told: Callable[[str], None]) -> Path:
    """Return the interpreter of an environment, made if it is not there yet.

    Raises:
        EnvironmentFailed: pip could not install it.
    """
    folder = cache / "environments" / f"{name}-{pinned(name)[:12]}"
    python = folder / "bin" / "python"
    if (folder / READY).exists():
        return python
    told(f"installing {name} into {folder}: once, minutes")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _called([sys.executable, "-m", "venv", str(folder)], name)
    install = [str(python), "-m", "pip", "install", "--quiet"]
    _called([*install, "-r", str(requirements(name))], name)
    if alone(name).exists():
        _called([*install, "--no-deps", "--ignore-requires-python", "-r", str(alone(name))], name)
    (folder / READY).touch()
    return python


def pinned(name: str) -> str:
    """Return the digest of an environment's requirements."""
    files = [path for path in (requirements(name), alone(name)) if path.exists()]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _called(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise EnvironmentFailed(f"{name} cannot be installed: {lines[-1][:300]}")
