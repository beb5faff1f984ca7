"""Makes ``.venv`` and puts everything into it; run by make, before anything is installed.

Standard library only. ``python3 edgeship/install.py`` installs the lock, edgeship itself and the
console's browser files; ``--system`` first installs the system packages that tests need, where
that needs no password.

Variables: ``EDGESHIP_TORCH_INDEX`` (an index with CPU builds of torch), ``PYTHON`` (make's own).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = ENVIRONMENT / ".edgeship-installed"
SYSTEM_PACKAGES = {
    "mosquitto": "mosquitto",
    "postgresql": "pg_ctlcluster",
    "chromium": "chromium",
    "softhsm2": "softhsm2-util",
}
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
GPU_MARKS = ("nvidia-", "cuda-", "triton")


def main() -> int:
    """Bring the environment up to date; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--system", action="store_true", help="install mosquitto, postgresql, chromium and softhsm2, too"
    )
    arguments = parser.parse_args()
    unfit = python_objection(sys.version_info[:2])
    if unfit:
        return refuse(unfit)
    if arguments.system:
        install_system_packages()
    if not STAMP.is_file() or STAMP.read_text(encoding="utf-8") != fingerprint():
        status = install_python_packages()
        if status:
            return status
    return build_console()


def python_objection(version: tuple[int, int]) -> str:
    """Return why edgeship cannot be installed for that Python; empty where it can."""
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return ""
    return f"edgeship needs Python 3.11 to 3.13, this is {version[0]}.{version[1]}: run 'make PYTHON=python3.11 ...'"


def fingerprint(root: Path = ROOT) -> str:
    """Return a digest of what decides the environment's content: lock, project, Python and place."""
    digest = hashlib.sha256()
    for path in (root / LOCK.name, root / "pyproject.toml"):
        digest.update(path.read_bytes())
    digest.update(f"{sys.version_info[:2]} {root}".encode())
    return digest.hexdigest()


def install_python_packages() -> int:
    """Make the virtual environment and install the lock and edgeship; return the exit status."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        say("making .venv")
        try:
            venv.EnvBuilder(with_pip=True, symlinks=True).create(ENVIRONMENT)
        except (subprocess.CalledProcessError, OSError):
            return refuse("could not make .venv: install the package python3-venv, then run this again")
    if not announce_torch():
        return 1
    say("installing the locked packages (about 1.9 GB on disk; a few minutes the first time)")
    if pip("install", "-r", str(LOCK), *torch_index()):
        return refuse("pip could not install the lock: its own words are above; check the network and run this again")
    say("installing edgeship itself")
    if pip("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)):
        return refuse("pip could not install edgeship: its own words are above")
    STAMP.write_text(fingerprint(), encoding="utf-8")
    return 0


def announce_torch() -> bool:
    """Say which build of torch pip would fetch; return False where a person has to choose first."""
    wanted = pinned_torch(LOCK.read_text(encoding="utf-8"))
    if (ENVIRONMENT / "lib").exists() and not pip("show", "--quiet", "torch", quiet=True):
        return True
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = ("install", "--dry-run", "--no-deps", "--quiet", "--report", str(report), wanted, *torch_index())
        if pip(*arguments, quiet=True) or not report.is_file():
            say(f"could not ask pip about {wanted}; going on")
            return True
        notice = gpu_notice(json.loads(report.read_text(encoding="utf-8")), wanted)
    if not notice:
        return True
    for line in notice:
        say(line)
    if os.environ.get("EDGESHIP_TORCH_GPU") == "1" or not sys.stdin.isatty():
        say("      Going on with the GPU build.")
        return True
    return input("      Go on with the GPU build all the same? [y/N] ").strip().lower() == "y"


def pinned_torch(lock: str) -> str:
    """Return the lock's line for torch."""
    return next(line for line in lock.splitlines() if line.startswith("torch=="))


def gpu_notice(report: dict[str, Any], wanted: str) -> tuple[str, ...]:
    """Return what to say before a GPU build is fetched; nothing where pip's report shows a CPU build.

    Args:
        report: of ``pip install --dry-run --report``, for torch alone.
        wanted: what pip was asked for.
    """
    requirements = report["install"][0]["metadata"].get("requires_dist", [])
    here = [line for line in requirements if "platform_machine" not in line or os.uname().machine in line]
    if not any(line.lower().startswith(GPU_MARKS) and "extra ==" not in line for line in here):
        return ()
    return (
        f"NOTE: pip would fetch the GPU build of {wanted}: several GB of CUDA packages that edgeship does not use.",
        "      For the CPU build set EDGESHIP_TORCH_INDEX to PyTorch's index of CPU wheels and run this again.",
    )


def torch_index() -> tuple[str, ...]:
    """Return pip's arguments for the index that the user named."""
    index = os.environ.get("EDGESHIP_TORCH_INDEX")
    return ("--extra-index-url", index) if index else ()


def build_console() -> int:
    """Bundle the console's browser files where their sources are newer; never fatal."""
    status = subprocess.run([ENVIRONMENT / "bin" / "python", ROOT / "web" / "build.py", "--if-changed"], check=False)  # noqa: S603 (our own script)
    if status.returncode:
        say("the console's browser files could not be built (reasons above): pages will be plain, all else works")
    return 0


def install_system_packages() -> None:
    """Install the system packages that are missing, or say which tests stay out and the one command for them."""
    missing = [name for name, program in SYSTEM_PACKAGES.items() if not is_installed(program)]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-qq", *missing]
    prefix = privileged()
    if prefix is not None and shutil.which("apt-get"):
        say(f"installing {', '.join(missing)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive", **os.environ}
        subprocess.run([*prefix, "apt-get", "update", "-qq"], check=False, env=quiet)  # noqa: S603 (fixed words)
        subprocess.run([*prefix, *command], check=False, env=quiet, stdout=subprocess.DEVNULL)  # noqa: S603 (fixed words)
        missing = [name for name, program in SYSTEM_PACKAGES.items() if not is_installed(program)]
    for line in left_out(missing):
        say(line)


def left_out(missing: list[str]) -> tuple[str, ...]:
    """Return which tests stay out without those system packages, and the one command that brings them in."""
    if not missing:
        return ()
    return (
        f"tests that need {', '.join(missing)} are left out; to bring them in:",
        f"    sudo apt-get install {' '.join(missing)}",
    )


def is_installed(program: str) -> bool:
    """Return whether the program is on PATH or where Debian puts servers."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin") is not None


def privileged() -> list[str] | None:
    """Return the words before a command that root runs, or None where that needs a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode == 0:  # noqa: S603 (found by name)
        return [sudo, "-n"]
    return None


def pip(*arguments: str, quiet: bool = False) -> int:
    """Run the environment's pip; return its exit status."""
    command = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    if arguments[0] == "install" and not quiet:
        command.append("--quiet")
    sink = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, check=False, stdout=sink, stderr=sink).returncode  # noqa: S603 (our own pip)


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"install: {text}", flush=True)  # noqa: T201 (a script that talks to a person)


def refuse(text: str) -> int:
    """Print why it cannot go on; return the exit status for that."""
    say(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
