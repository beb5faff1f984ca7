"""Every command in the README, and in the optimizer's page, runs as printed, in the printed order, in an empty folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```(sh|sh background|(?:toml|python) [\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = (8400, 8410)
READY_S = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: ``kind`` is what stands behind the fence."""

    kind: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page that are commands or files."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(kind=kind, text=text) for kind, text in BLOCK.findall(text)]


def is_open(port: int) -> bool:
    """Return whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def printed_ports() -> Iterator[None]:
    """Hold the ports that the pages print, for one page at a time: tests of several pages run at once."""
    with (Path(tempfile.gettempdir()) / "edgeship-printed-ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not [port for port in PORTS if is_open(port)]
        yield


def written(blocks: list[Block]) -> str:
    """Return the blocks as one shell script; background ones get a ``&`` and their ports are waited for."""
    ports = iter(PORTS)
    lines = ["set -euo pipefail"]
    for block in blocks:
        if not block.kind.startswith("sh"):
            lines.append(f"cat > {block.kind.split()[1]} <<'END_OF_FILE'\n{block.text}END_OF_FILE")
        elif block.kind == "sh background":
            lines.append(f"{block.text.strip()} > {len(lines)}.log 2>&1 &\nawait_port {next(ports)}")
        else:
            lines.append(block.text)
    return "\n".join(lines)


PRELUDE = f"""
await_port() {{
    for _ in $(seq {READY_S * 5}); do
        if (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; then return 0; fi
        sleep 0.2
    done
    echo "nothing listens on port $1"; cat *.log; return 1
}}
"""


@contextlib.contextmanager
def running(page: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the page's script in an empty folder; everything that it started ends with the block."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "NO_COLOR": "1",
    }
    (folder / "home").mkdir()
    place = folder / "anywhere"
    place.mkdir()
    process = subprocess.Popen(
        ["bash", "-xc", PRELUDE + written(blocks_of(page))],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        time.sleep(1.0)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("README.md", {"optimize", "recipe pack", "--locked", "release sign", "rollout create", "agent enroll"}),
        ("docs/optimizer.md", {"--metric", "--runner", "--replay", "--storage", "--locked", "recipe explore"}),
    ],
)
def test_the_page_has_commands_for_all_that_it_speaks_of(page: str, words: set[str]) -> None:
    commands = " ".join(block.text for block in blocks_of(page) if block.kind.startswith("sh"))

    assert not {word for word in words if word not in commands}


@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    with printed_ports(), running("README.md", tmp_path) as shell:
        said, _ = shell.communicate(timeout=300)

    assert shell.returncode == 0, said[-6000:]
    assert "digits@1.0.0" in said
    assert "healthy" in said
    assert "again/winner." in said


@pytest.mark.slow
def test_every_command_of_the_optimizers_page_runs(tmp_path: Path) -> None:
    with running("docs/optimizer.md", tmp_path) as shell:
        said, _ = shell.communicate(timeout=300)

    assert shell.returncode == 0, said[-6000:]
    assert "Traceback" not in said
    assert "so the budget of 20.0 ms is not decided" in said
    assert "latency and memory on the target" in said
    assert ": the locked bytes, " in said
