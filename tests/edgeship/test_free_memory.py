"""A command that runs models of others is refused memory that the machine does not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASKS_FOR_TOO_MUCH = """
import mmap
from edgeship.free_memory import keep_to_free_memory
keep_to_free_memory()
free = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal:")) * 1024
try:
    mmap.mmap(-1, 2 * free, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)  # 0x4000: nothing is set aside for it
except OSError as error:
    print("refused", error.errno)
print(len(bytearray(1 << 20)))
"""


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="this system does not tell what is free")
def test_more_memory_than_there_is_is_refused_and_less_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS_FOR_TOO_MUCH], check=True, capture_output=True, text=True)

    assert done.stdout.splitlines() == ["refused 12", "1048576"]
