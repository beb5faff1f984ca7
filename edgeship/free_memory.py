"""A command that runs other people's models asks for no more memory than the machine has free.

What a model takes can depend on the rows that it is given, so a file that was tried once on zeros can still ask for
any amount. With a limit the runtime is refused the memory and says so, instead of driving the machine into its swap.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def keep_to_free_memory() -> None:
    """Let this process, and those that it starts, have at most the memory that is free now, where the system tells."""
    try:
        import resource
    except ImportError:
        return
    free, own = _kilobytes("/proc/meminfo", "MemAvailable:"), _kilobytes("/proc/self/status", "VmData:")
    if free is None or own is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = min(one for one in ((free + own) * 1024, soft, hard) if one != resource.RLIM_INFINITY)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _kilobytes(path: str, field: str) -> int | None:
    """Return the number behind the field in a file of the system; None where it is not told."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = Path(path).read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(field)), None)
    return None
