"""Every command in the README runs as printed, in the printed order, in one empty folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|sh background|toml [\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = (8400, 8410)
READY_S = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: ``kind`` is what stands behind the fence."""

    kind: str
    text: str


BLOCKS = [Block(kind=kind, text=text) for kind, text in BLOCK.findall(README)]


def is_open(port: int) -> bool:
    """Return whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def written(blocks: list[Block]) -> str:
    """Return the blocks as one shell script; background ones get a ``&`` and their ports are waited for."""
    ports = iter(PORTS)
    lines = ["set -euo pipefail"]
    for block in blocks:
        if block.kind.startswith("toml"):
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


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the README's script in an empty folder; everything that it started ends with the test."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "NO_COLOR": "1",
    }
    (tmp_path / "home").mkdir()
    place = tmp_path / "anywhere"
    place.mkdir()
    process = subprocess.Popen(
        ["bash", "-xc", PRELUDE + written(BLOCKS)],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    time.sleep(1.0)


def test_the_readme_has_commands_for_each_role() -> None:
    commands = " ".join(block.text for block in BLOCKS if block.kind.startswith("sh"))

    assert all(
        word in commands for word in ("optimize", "recipe pack", "release sign", "rollout create", "agent enroll")
    )


@pytest.mark.slow
def test_every_command_of_the_readme_runs(shell: subprocess.Popen[str]) -> None:
    assert not [port for port in PORTS if is_open(port)]

    said, _ = shell.communicate(timeout=240)

    assert shell.returncode == 0, said[-6000:]
    assert "digits@1.0.0" in said
    assert "healthy" in said
