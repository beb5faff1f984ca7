"""This machine as a profile: for ``--target host``, where the models are for the machine that measures them.

What the system does not tell is left at its least: a clock of 0 Hz means that nobody knows.
"""

from __future__ import annotations

import os
import platform
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from contracts.ids import ProfileName
from contracts.manifest import ModelFormat
from device_profiles.profile import DeviceClass, DeviceProfile, Source

HOST: Final = "host"
"""The name that no device of the catalog has."""

_ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_RUNTIMES: Final = {
    ModelFormat.ONNX: ("onnxruntime",),
    ModelFormat.TFLITE: ("ai_edge_litert", "tflite_runtime"),
}
_MODEL_SHARE: Final = 4
"""A model may take this part of the memory, as in the catalog."""
_CGROUPS: Final = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
_KHZ: Final = "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"


def host_profile(root: Path = Path("/")) -> DeviceProfile:
    """Return what this machine can do, as its system tells it.

    Args:
        root: where the system's ``proc`` and ``sys`` lie.
    """
    memory = _memory_bytes(root)
    told = Source(
        fields=("architecture", "cpu", "cores", "clock_hz", "memory_bytes", "computes_fp16"),
        document="this machine's own system, asked when the profile was made",
    )
    chosen = Source(
        fields=("model_memory_bytes", "formats", "full_int8"),
        document="edgeship's choice: a quarter of the memory for a model; the formats are those of the runtimes here",
    )
    return DeviceProfile(
        name=ProfileName(HOST),
        title="This machine",
        device_class=DeviceClass.LINUX,
        architecture=host_architecture(),
        cpu=processor_name(root / "proc/cpuinfo"),
        cores=os.cpu_count() or 1,
        clock_hz=_clock_hz(root),
        memory_bytes=memory,
        model_memory_bytes=memory // _MODEL_SHARE,
        formats=_formats(),
        full_int8=False,
        computes_fp16=_computes_fp16(root),
        sources=(told, chosen),
    )


def host_architecture() -> str:
    """Return this machine's processor architecture in the catalog's words, as in ``x86_64`` or ``aarch64``."""
    told = platform.machine().lower()
    return _ARCHITECTURES.get(told, told)


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the system calls the processor, or the board where it does not name one."""
    told = _text(cpuinfo)
    for key in ("model name", "Model", "Hardware"):
        found = re.search(rf"^{key}\s*:\s*(.+)$", told, re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or "unknown processor"


def _memory_bytes(root: Path) -> int:
    """Return the machine's memory, or the part of it that this container may take."""
    told = re.search(r"^MemTotal:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    whole = int(told[1]) * 1024 if told else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (_text(root / place).strip() for place in _CGROUPS)
    return min([whole, *(int(limit) for limit in limits if limit.isdecimal())])


def _clock_hz(root: Path) -> int:
    highest = _text(root / _KHZ).strip()
    if highest.isdecimal():
        return int(highest) * 1000
    now = re.search(r"^cpu MHz\s*:\s*([\d.]+)", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return int(float(now[1]) * 1e6) if now else 0


def _computes_fp16(root: Path) -> bool:
    """Whether the runtimes compute in half precision here: on Arm with its extension, never on x86."""
    return bool(re.search(r"^Features\s*:.*\basimdhp\b", _text(root / "proc/cpuinfo"), re.MULTILINE))


def _formats() -> tuple[ModelFormat, ...]:
    """Return the formats whose runtimes are installed; both where none is."""
    found = tuple(kind for kind, names in _RUNTIMES.items() if any(find_spec(name) for name in names))
    return found or tuple(_RUNTIMES)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
