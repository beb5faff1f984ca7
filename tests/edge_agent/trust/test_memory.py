"""Marks rise, belong to keys, and outlive damage to one of their two copies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import ModelName
from edge_agent.disk import SystemDisk
from edge_agent.trust.errors import MemoryDamaged
from edge_agent.trust.memory import COPIES, TIME, Memory, MemoryFiles, floor_of, memory_key

KEY = bytes(32)
KEYS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)
RISES = st.lists(st.tuples(st.integers(0, 2**53 - 1), KEYS), max_size=8)


@pytest.fixture
def files(tmp_path: Path) -> MemoryFiles:
    return MemoryFiles(tmp_path / "metadata", SystemDisk(), KEY)


def _memory(floor: int) -> Memory:
    return Memory().raised(floor_of(ModelName("digits")), floor, keys=("a",))


@given(RISES)
def test_under_one_set_of_keys_a_mark_is_the_largest_value_ever(rises: list[tuple[int, list[str]]]) -> None:
    memory = Memory()

    for value, _ in rises:
        memory = memory.raised("m", value, keys=("a",))

    assert memory.held("m", ("a",)) == max((value for value, _ in rises), default=0)


@given(RISES, KEYS)
def test_a_mark_counts_only_while_all_its_keys_are_named(rises: list[tuple[int, list[str]]], now: list[str]) -> None:
    memory = Memory()
    for value, keys in rises:
        memory = memory.raised("m", value, keys=keys)

    held = memory.held("m", now)

    assert held == (memory.marks["m"].value if "m" in memory.marks and set(memory.marks["m"].keys) <= set(now) else 0)


def test_a_replaced_key_takes_its_mark_with_it() -> None:
    memory = Memory().raised(TIME, 4_000_000_000, keys=("stolen",))

    memory = memory.raised(TIME, 1_800_000_000, keys=("new",))

    assert memory.last_trusted_time is not None
    assert memory.last_trusted_time.year == 2027


def test_a_teams_floor_stands_beside_a_lower_one_of_the_top_targets() -> None:
    memory = Memory().raised("floor/digits", 5, keys=("team",), among=("top", "team"))

    memory = memory.raised("floor/digits", 3, keys=("top",), among=("top", "team"))

    assert memory.floors == {"digits": 5}


def test_floors_of_keys_that_may_not_vouch_any_more_are_forgotten() -> None:
    memory = _memory(5).raised(floor_of(ModelName("faces")), 2, keys=("b",)).raised("models/targets", 9, keys=("a",))

    settled = memory.settled(lambda _: ("b",))

    assert settled.floors == {"faces": 2}
    assert settled.held("models/targets", ("a",)) == 9


def test_what_was_kept_is_loaded(files: MemoryFiles) -> None:
    kept = files.keep(_memory(5))

    assert files.load() == kept


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("damage", [b"", b"\x00" * 200])
def test_one_damaged_copy_costs_nothing_and_is_made_whole_again(
    copy: str, damage: bytes, files: MemoryFiles, tmp_path: Path
) -> None:
    files.keep(_memory(5))
    path = tmp_path / "metadata" / copy
    path.write_bytes(damage)

    files.keep(files.load())

    assert files.load().floors == {"digits": 5}
    assert path.read_bytes() != damage


def test_the_newer_copy_counts(files: MemoryFiles, tmp_path: Path) -> None:
    first = files.keep(_memory(5))
    old = (tmp_path / "metadata" / COPIES[0]).read_bytes()
    files.keep(first.raised("floor/digits", 7, keys=("a",)))
    (tmp_path / "metadata" / COPIES[0]).write_bytes(old)

    assert files.load().floors == {"digits": 7}


def test_both_copies_damaged_is_never_a_new_start(files: MemoryFiles, tmp_path: Path) -> None:
    files.keep(_memory(5))
    for copy in COPIES:
        (tmp_path / "metadata" / copy).write_bytes(b"rot")

    with pytest.raises(MemoryDamaged, match="remove that folder by hand") as caught:
        files.load()

    assert caught.value.code == "memory_damaged"


def test_both_copies_gone_beside_verified_metadata_is_never_a_new_start(files: MemoryFiles, tmp_path: Path) -> None:
    (tmp_path / "metadata" / "director").mkdir(parents=True)

    with pytest.raises(MemoryDamaged):
        files.load()


def test_an_edited_copy_or_one_of_another_device_does_not_count(files: MemoryFiles, tmp_path: Path) -> None:
    files.keep(_memory(5))
    MemoryFiles(tmp_path / "metadata", SystemDisk(), b"\x01" * 32).keep(_memory(0))

    with pytest.raises(MemoryDamaged):
        files.load()


def test_a_device_that_is_new_remembers_nothing(files: MemoryFiles) -> None:
    assert files.load() == Memory()
    assert files.is_new()


def test_what_has_not_changed_is_not_written_again(files: MemoryFiles, tmp_path: Path) -> None:
    kept = files.keep(_memory(5))
    before = (tmp_path / "metadata" / COPIES[0]).stat().st_mtime_ns

    files.keep(kept)

    assert (tmp_path / "metadata" / COPIES[0]).stat().st_mtime_ns == before


def test_the_key_is_the_devices_own() -> None:
    assert memory_key(lambda text: b"one" + text) != memory_key(lambda text: b"two" + text)
