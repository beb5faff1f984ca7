"""This machine in words, as every measurement names it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine_in_words(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return processor, cores and system: ``Intel Xeon @ 2.50GHz, 2 cores, Linux x86_64``."""
    cores = os.cpu_count() or 1
    return f"{_processor(cpuinfo)}, {cores} core{'s' if cores != 1 else ''}, {platform.system()} {platform.machine()}"


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    for key in ("model name", "Model", "Hardware"):
        for line in lines:
            if line.startswith(key) and ":" in line:
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
