"""This machine as a profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.codec import from_plain, to_plain
from contracts.manifest import ModelFormat
from device_profiles.host import host_profile
from device_profiles.loader import all_profiles, load_profile
from device_profiles.profile import DeviceProfile

PI = "processor\t: 0\nFeatures\t: fp asimd asimdhp cpuid\n\nModel\t\t: Raspberry Pi 5 Model B\n"


def a_system(folder: Path, **files: str) -> Path:
    """Return a root folder whose files tell that; ``__`` in a name stands for a slash."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_host_is_this_machine_and_no_file_of_the_catalog() -> None:
    host = load_profile("host")

    assert (host.name, host.title) == ("host", "This machine")
    assert host.cores >= 1
    assert 0 < host.model_memory_bytes <= host.memory_bytes / 2
    assert "host" not in [profile.name for profile in all_profiles()]


def test_the_formats_are_those_of_the_runtimes_here() -> None:
    assert load_profile("host").formats == (ModelFormat.ONNX, ModelFormat.TFLITE)


def test_it_survives_the_way_to_json_and_back() -> None:
    host = load_profile("host")

    assert from_plain(DeviceProfile, json.loads(json.dumps(to_plain(host)))) == host


def test_each_fact_has_a_source() -> None:
    host = load_profile("host")
    sourced = {name for source in host.sources for name in source.fields}

    assert sourced == {
        *("architecture", "cpu", "cores", "clock_hz", "memory_bytes", "computes_fp16"),
        *("model_memory_bytes", "formats", "full_int8"),
    }


def test_a_board_tells_its_own_facts(tmp_path: Path) -> None:
    root = a_system(
        tmp_path,
        proc__cpuinfo=PI,
        proc__meminfo="MemTotal:        4000000 kB\nMemFree: 1 kB\n",
        sys__devices__system__cpu__cpu0__cpufreq__cpuinfo_max_freq="2400000\n",
    )

    host = host_profile(root)

    assert (host.cpu, host.clock_hz, host.memory_bytes) == ("Raspberry Pi 5 Model B", 2_400_000_000, 4_096_000_000)
    assert host.computes_fp16


@pytest.mark.parametrize(("limit", "memory"), [("1000000\n", 1_000_000), ("max\n", 4_096_000_000)])
def test_a_container_has_the_memory_that_it_may_take(tmp_path: Path, limit: str, memory: int) -> None:
    root = a_system(tmp_path, proc__meminfo="MemTotal:        4000000 kB\n", sys__fs__cgroup__memory_dot_max=limit)

    assert host_profile(root).memory_bytes == memory


def test_a_system_that_tells_nothing_is_not_guessed_at(tmp_path: Path) -> None:
    host = host_profile(tmp_path)

    assert (host.clock_hz, host.computes_fp16) == (0, False)
    assert host.memory_bytes > 0
