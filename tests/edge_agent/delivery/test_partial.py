"""Data become durable beside the fetch, never far behind it."""

from __future__ import annotations

import errno
import random
import threading
from pathlib import Path

import pytest

from contracts.chunks import cut, index_of
from edge_agent.delivery.partial import BEHIND_A_SYNC_BYTES, SYNC_BYTES, SYNC_S, Partial
from edge_agent.disk import SystemDisk

DATA = random.Random(4).randbytes(BEHIND_A_SYNC_BYTES + 2 * SYNC_BYTES)
INDEX = cut(DATA)


class SlowDisk(SystemDisk):
    """Syncs while its gate is open; else the sync waits there."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.syncs = 0
        self.error: OSError | None = None

    def sync(self, path: Path) -> None:
        self.gate.wait(10.0)
        if self.error:
            raise self.error
        super().sync(path)
        self.syncs += 1


class Putting:
    """Puts chunks in order, in a thread where it may be held up."""

    def __init__(self, folder: Path) -> None:
        self.disk = SlowDisk()
        self.partial = Partial(folder, INDEX, self.disk)
        self.partial.open()
        self._next = 0
        self._start = 0

    def put(self, *, until_bytes: int, now_s: float) -> None:
        while self._start < until_bytes:
            length = INDEX.lengths[self._next]
            self.partial.put(self._next, DATA[self._start : self._start + length], now_s=now_s)
            self._next, self._start = self._next + 1, self._start + length

    def in_a_thread(self, *, until_bytes: int, now_s: float) -> threading.Thread:
        thread = threading.Thread(target=self.put, kwargs={"until_bytes": until_bytes, "now_s": now_s})
        thread.start()
        thread.join(0.05)
        return thread


@pytest.fixture
def putting(tmp_path: Path) -> Putting:
    return Putting(tmp_path)


def test_nothing_is_synced_before_a_mebibyte_or_a_second_waits(putting: Putting) -> None:
    putting.put(until_bytes=SYNC_BYTES // 2, now_s=0.0)
    putting.partial.sync_if_due(now_s=SYNC_S * 0.9)
    early = putting.disk.syncs

    putting.partial.sync_if_due(now_s=SYNC_S)

    assert (early, putting.disk.syncs) == (0, 1)
    assert putting.partial.first == putting.partial.done


def test_a_sync_under_way_holds_nothing_up(putting: Putting) -> None:
    putting.disk.gate.clear()

    putting.put(until_bytes=3 * SYNC_BYTES, now_s=0.0)
    early = putting.partial.first
    putting.disk.gate.set()
    putting.partial.sync()

    assert early == 0
    assert putting.partial.first == putting.partial.done
    assert putting.disk.syncs == 2


def test_four_mebibytes_behind_a_sync_wait_for_it(putting: Putting) -> None:
    putting.disk.gate.clear()

    thread = putting.in_a_thread(until_bytes=len(DATA), now_s=0.0)
    held_up, done = thread.is_alive(), putting.partial.done
    putting.disk.gate.set()
    thread.join()

    assert held_up
    assert done < putting.partial.total == putting.partial.done


def test_nothing_more_is_put_while_something_is_unsynced_for_a_second(putting: Putting) -> None:
    putting.disk.gate.clear()
    putting.put(until_bytes=SYNC_BYTES, now_s=0.0)

    thread = putting.in_a_thread(until_bytes=SYNC_BYTES + 300_000, now_s=SYNC_S)
    held_up = thread.is_alive()
    putting.disk.gate.set()
    thread.join()

    assert held_up
    assert putting.partial.first > 0


def test_a_disk_that_refuses_to_sync_is_heard_of_and_nothing_counts_as_synced(putting: Putting) -> None:
    putting.disk.error = OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        putting.put(until_bytes=len(DATA), now_s=0.0)

    assert putting.partial.first == 0


def test_bits_are_written_after_their_data(putting: Putting) -> None:
    putting.disk.gate.clear()
    putting.put(until_bytes=SYNC_BYTES, now_s=0.0)
    bits = putting.partial.data.with_name("verified")

    early = bits.read_bytes()
    putting.disk.gate.set()
    putting.partial.sync()

    assert set(early) == {0}
    assert bits.read_bytes()[0] == 0xFF


def test_a_chunk_that_was_found_at_one_of_its_places_is_put_at_the_others(tmp_path: Path) -> None:
    data = DATA[:1000] + DATA[1000:1500] + DATA[:1000]
    index = index_of(data, [1000, 500, 1000])
    (tmp_path / "data").write_bytes(data[:1000] + bytes(1500))

    partial = Partial(tmp_path, index, SystemDisk())
    partial.open()

    assert partial.missing == [1]
    assert partial.data.read_bytes() == data[:1000] + bytes(500) + data[:1000]
