"""``python -m fleet_server.releases.delta_process BASE TARGET DELTA``: make and check a delta, giving way to all.

It ends when its standard input does, and takes the folder of its three files with it: a server that was killed leaves
nothing behind that goes on working.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import threading
from pathlib import Path

from contracts.delta import apply, make
from contracts.ids import digest_of

NICENESS = 19
MEMORY_LIMIT_BYTES = 4 << 30


def main(base_path: str, target_path: str, delta_path: str) -> None:
    """Write the delta; nothing is written that does not lead back to the target."""
    threading.Thread(target=_end_with_the_server, args=(Path(delta_path).parent,), daemon=True).start()
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    base, target = Path(base_path).read_bytes(), Path(target_path).read_bytes()
    delta = make(base, target)
    apply(base, delta, length=len(target), digest=digest_of(target))
    Path(delta_path).write_bytes(delta)


def _end_with_the_server(folder: Path) -> None:
    os.read(0, 1)  # not sys.stdin: its lock, held by a thread, would break the interpreter's end
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
