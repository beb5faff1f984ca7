"""An arm64 machine to run small Python programs on: Debian's packages and wheels unpacked into a folder, under qemu.

Nothing is installed on this machine and nothing is run to set the folder up, so it takes a minute. It is entered with
chroot: below it there is no /sys, which the runtimes would read the host's processors from, and crash.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.slow import ROOT

PYTHON: Final = "3.11"
WHEELS: Final = ("numpy==2.4.6", "onnxruntime==1.31.1", "ai-edge-litert==2.3.0")
"""What both machines compute with: the versions of requirements.lock."""
_PACKAGES: Final = (
    "libbz2-1.0", "libc6", "libexpat1", "libffi8", "libgcc-s1", "liblzma5", "libncursesw6", "libpython3.11-minimal",
    "libpython3.11-stdlib", "libssl3", "libstdc++6", "libtinfo6", "libuuid1", "python3.11-minimal", "zlib1g",
)  # fmt: skip
_PLATFORMS: Final = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_EMULATOR: Final = "qemu-aarch64-static"
_READY: Final = "ready"


def emulated_machine() -> Path:
    """Return the machine's root folder, made on first use in the git-ignored cache."""
    key = hashlib.sha256(repr((PYTHON, WHEELS, _PACKAGES, _PLATFORMS)).encode()).hexdigest()[:12]
    root = ROOT / ".peers" / "arm64" / key
    if not (root / _READY).exists():
        making = root.with_name(f"{key}.part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        _unpack(_downloaded(making / "packages", "arm64", _PACKAGES), making / "root")
        _unpack(_downloaded(making / "emulator", "amd64", ("qemu-user-static",)), making / "host")
        shutil.copyfile(making / "host" / "usr" / "bin" / _EMULATOR, making / "root" / _EMULATOR)
        (making / "root" / _EMULATOR).chmod(0o755)
        _install_wheels(making / "root" / "site")
        (making / "root" / _READY).touch()
        shutil.rmtree(root, ignore_errors=True)
        (making / "root").rename(root)
        shutil.rmtree(making)
    return root


def run_emulated(root: Path, program: Path, folder: Path) -> None:
    """Run ``program work`` on the arm64 machine, over a copy of the folder; what it writes there is copied back."""
    work = root / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(folder, work)
    shutil.copyfile(program, root / "program.py")
    entering = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]
    python = [f"/{_EMULATOR}", "-E", "PYTHONPATH=/site", f"/usr/bin/python{PYTHON}", "/program.py", "/work"]
    _done([*entering, str(root), *python])
    shutil.copytree(work, folder, dirs_exist_ok=True)


def run_here(program: Path, folder: Path) -> None:
    """Run the same program on this machine."""
    _done([sys.executable, str(program), str(folder)])


def versions_here() -> dict[str, str]:
    """Return the versions of the wheels' packages on this machine."""
    code = (
        "import json; from importlib.metadata import version;"
        f"print(json.dumps({{name: version(name) for name in {[wheel.partition('==')[0] for wheel in WHEELS]!r}}}))"
    )
    found: dict[str, str] = json.loads(_done([sys.executable, "-c", code]))
    return found


def _downloaded(folder: Path, architecture: str, packages: tuple[str, ...]) -> Path:
    """Return the folder with the packages of that architecture, by an apt of its own that knows no other."""
    state = folder.with_name(f"{folder.name}-apt")
    for place in ("lists/partial", "cache/archives/partial"):
        (state / place).mkdir(parents=True)
    folder.mkdir()
    options = [
        f"Dir::State::Lists={state}/lists",
        f"Dir::Cache={state}/cache",
        "Dir::State::status=/dev/null",
        f"APT::Architecture={architecture}",
        f"APT::Architectures={architecture}",
        "APT::Sandbox::User=",
        "Debug::NoLocking=1",
    ]
    apt = ["apt-get", *(word for option in options for word in ("-o", option))]
    _done([*apt, "update"])
    _done([*apt, "download", *packages], cwd=folder)
    return folder


def _unpack(folder: Path, root: Path) -> None:
    root.mkdir()
    for package in sorted(folder.glob("*.deb")):
        _done(["dpkg-deb", "-x", str(package), str(root)])


def _install_wheels(folder: Path) -> None:
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    options = ["--quiet", "--no-compile", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    _done([sys.executable, "-m", "pip", "install", "--target", str(folder), *options, *platforms, *WHEELS])


def _done(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, (command, done.stderr[-2000:])
    return done.stdout
