"""Applying a delta in a process of its own: what it gives, and how it refuses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from contracts.delta import make
from contracts.errors import DeltaError
from contracts.ids import digest_of
from edge_agent.delivery.courier import Stopping
from edge_agent.delivery.delta import MEMORY_BESIDE_BYTES, Task
from edge_agent.delivery.delta_process import apply_in_child, free_memory_bytes
from tests.contracts.delta.models import float_pair

pytestmark = pytest.mark.slow

BASE, TARGET = float_pair()


def _task(folder: Path, delta: bytes, *, memory_bytes: int = MEMORY_BESIDE_BYTES) -> Task:
    (folder / "base").write_bytes(BASE)
    (folder / "delta").write_bytes(delta)
    return Task(
        base=folder / "base",
        delta=folder / "delta",
        length=len(TARGET),
        digest=digest_of(TARGET),
        memory_bytes=memory_bytes,
    )


def test_the_child_gives_the_whole_target(tmp_path: Path) -> None:
    with apply_in_child(_task(tmp_path, make(BASE, TARGET)), time.sleep) as target:
        assert target.read() == TARGET


def test_a_delta_to_another_artifact_gives_nothing_and_the_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(DeltaError, match="another artifact than the signed one"),
        apply_in_child(_task(tmp_path, make(BASE, bytes(len(TARGET)))), time.sleep),
    ):
        pytest.fail("bytes were given")


def test_a_child_without_memory_ends_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(DeltaError),
        apply_in_child(_task(tmp_path, make(BASE, TARGET), memory_bytes=-(500 << 20)), time.sleep),
    ):
        pytest.fail("bytes were given")


def test_an_interrupted_agent_leaves_no_child(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise Stopping

    with pytest.raises(Stopping), apply_in_child(_task(tmp_path, make(BASE, TARGET)), stop):
        pytest.fail("bytes were given")


def test_the_free_memory_of_this_machine_is_known() -> None:
    assert free_memory_bytes() > 1 << 20
