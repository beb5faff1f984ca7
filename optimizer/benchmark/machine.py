"""This machine in words, as every measurement names it, and the runtimes on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Final

from device_profiles.host import processor_name

RUNTIMES: Final = ("onnxruntime", "ai-edge-litert", "torch")
"""Distributions that run models; what a figure says holds for these versions of them."""


def machine_in_words(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return processor, cores and system: ``Intel Xeon @ 2.50GHz, 2 cores, Linux x86_64``."""
    cores = os.cpu_count() or 1
    return (
        f"{processor_name(cpuinfo)}, {cores} core{'s' if cores != 1 else ''}, {platform.system()} {platform.machine()}"
    )


def runtimes_in_words() -> str:
    """Return the runtimes installed here and their versions: ``onnxruntime 1.31.1, ai-edge-litert 2.3.0``."""
    found = []
    for name in RUNTIMES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
