"""``python -m fleet_server.releases.delta_process BASE TARGET DELTA``: make and check a delta, giving way to all."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from contracts.delta import apply, make
from contracts.ids import digest_of

NICENESS = 19
MEMORY_LIMIT_BYTES = 4 << 30


def main(base_path: str, target_path: str, delta_path: str) -> None:
    """Write the delta; nothing is written that does not lead back to the target."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    base, target = Path(base_path).read_bytes(), Path(target_path).read_bytes()
    delta = make(base, target)
    apply(base, delta, length=len(target), digest=digest_of(target))
    Path(delta_path).write_bytes(delta)


if __name__ == "__main__":
    main(*sys.argv[1:])
