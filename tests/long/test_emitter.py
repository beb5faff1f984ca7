"""Ten minutes of changed ONNX graphs into the TFLite emitter: a clear refusal, or a file that answers the same."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.long.fuzzing import SHARE_VARIABLE
from tests.long.graphs import changed, seeds
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow]

SECONDS = 600.0
HANG_S = 60.0
GOOD = ("refused", "equal", "near", "steep", "unasked")


class EmitterChild:
    """A child that emits graphs; started again after it died, ended where it hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def emit(self, content: bytes, number: int) -> str:
        """Return the child's word, or ``died in STAGE``; a child that hangs dies, too."""
        process = self._process = self._process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(HANG_S, process.kill)
        watchdog.start()
        stage = "start"
        try:
            process.stdin.write(number.to_bytes(8, "big") + len(content).to_bytes(4, "big") + content)
            process.stdin.flush()
            while line := process.stdout.readline().decode(errors="replace").strip():
                if not line.startswith("stage "):
                    return line
                stage = line.partition(" ")[2]
        except BrokenPipeError:
            pass
        finally:
            watchdog.cancel()
        return f"died in {stage}: {self._buried(process)}"

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._buried(self._process)

    def _buried(self, process: subprocess.Popen[bytes]) -> int:
        self._process = None
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr] # both are ours
        return status


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.long.emitter_child"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def is_good(said: str) -> bool:
    """Return whether it is a refusal or a right file; ONNX Runtime's own death over a graph is no fault of ours."""
    return said.startswith(GOOD) or said.startswith("died in original")


def test_every_seed_is_written_and_right() -> None:
    child = EmitterChild()

    with contextlib.closing(child):
        said = {place: child.emit(content, place) for place, content in enumerate(seeds())}

    assert set(said.values()) == {"equal"}, said


def test_a_changed_graph_is_refused_or_answers_the_same(tmp_path: Path) -> None:
    child = EmitterChild()
    counts: Counter[str] = Counter()
    bad: dict[str, str] = {}
    end = time.monotonic() + SECONDS * float(os.environ.get(SHARE_VARIABLE, "1"))
    number = seed() << 32

    with contextlib.closing(child):
        while time.monotonic() < end:
            number += 1
            content = changed(number)
            said = child.emit(content, number)
            counts[" ".join(said.split()[:2]) if said.startswith("refused") else said.split()[0]] += 1
            if not is_good(said):
                bad[str(number)] = said
                (tmp_path / f"{number}.onnx").write_bytes(content)

    record("emitter, changed graphs", dict(counts))
    assert not bad, (str(tmp_path), bad)
    assert counts["equal"] > 0
