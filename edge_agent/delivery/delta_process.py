"""``python -m edge_agent.delivery.delta_process BASE DELTA LENGTH DIGEST MEMORY``: apply a delta, write the target out.

A process of its own: what applying takes in memory is given back at once, a delta that takes too much or too long ends
the child and not the agent, and the kernel picks it first where memory runs out. Not a byte is written before the
whole target was checked.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from contracts.errors import DeltaError
from contracts.ids import parse_digest

if TYPE_CHECKING:
    from edge_agent.delivery.delta import Task

TIME_LIMIT_S = 300
NICENESS = 10
LOOK_S = 0.1
REASON_LIMIT = 300
ADDRESSES_BESIDE_BYTES = 512 * 1024 * 1024
"""Reserved by libraries and never touched."""


@contextlib.contextmanager
def apply_in_child(task: Task, rest: Callable[[float], None]) -> Iterator[IO[bytes]]:
    """Give the target to read; implements ``delta.Apply``.

    Raises:
        DeltaError: the delta does not lead there, or took too long or too much.
    """
    words = (task.base, task.delta, task.length, task.digest, task.memory_bytes)
    with _started([sys.executable, "-m", __name__, *map(str, words)]) as child:
        try:
            if child.stdout is None or child.stderr is None:
                raise AssertionError("a child without pipes")
            while not select.select([child.stdout], [], [], 0.0)[0]:  # readable, too, once the child has ended
                rest(LOOK_S)
            if not child.stdout.peek(1):  # type: ignore[attr-defined]  # a pipe's end is a BufferedReader
                reason = child.stderr.read()[-REASON_LIMIT:].decode(errors="replace").strip().rpartition("\n")[2]
                raise DeltaError(reason or f"applying it ended with {child.wait()}; fetch the whole artifact")
            yield child.stdout
        finally:
            child.kill()


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)  # noqa: S603 (our own module)
    except OSError as error:  # no memory, too many processes
        raise DeltaError(f"no process to apply it can be started: {error}; fetch the whole artifact") from error


def free_memory_bytes() -> int:
    """Return the memory that may be taken without making others swap, as the kernel sees it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def main(base: str, delta: str, length: str, digest: str, memory: str) -> None:
    """Write the target to standard output, or the reason why there is none to standard error."""
    signal.alarm(TIME_LIMIT_S)
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy: a pool of threads would reserve memory for each
    limit = int(memory) + ADDRESSES_BESIDE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    from contracts.delta import apply

    try:
        target = apply(
            Path(base).read_bytes(), Path(delta).read_bytes(), length=int(length), digest=parse_digest(digest)
        )
    except (DeltaError, MemoryError, OSError) as error:
        sys.exit(str(error) or "applying the delta takes too much memory; fetch the whole artifact")
    sys.stdout.buffer.write(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
