"""What lies on the device is copied, never fetched; what was damaged there is."""

from __future__ import annotations

import random
import tracemalloc
from itertools import accumulate
from pathlib import Path

import pytest

from contracts.chunks import ChunkIndex, cut
from contracts.codec import encode
from contracts.ids import digest_of
from edge_agent.delivery.known import Source, copies
from edge_agent.delivery.partial import Partial
from edge_agent.disk import SystemDisk
from tests.fakes.device import MODEL, FakeDevice, an_artifact
from tests.fakes.disk import CrashingDisk, PowerCut
from tests.fakes.repository import SignedRepository

NOISE = random.Random(3).randbytes(100_000)
INDEX = cut(NOISE, 4096)


def _source(folder: Path, data: bytes, index: ChunkIndex) -> Source:
    (folder / "data").write_bytes(data)
    (folder / "index.cbor").write_bytes(encode(index))
    return Source(data=folder / "data", index=folder / "index.cbor")


def _wanted() -> dict[bytes, int]:
    return {digest: place for place, digest in enumerate(INDEX.digests)}


def test_chunks_are_found_wherever_they_lie_in_another_file(tmp_path: Path) -> None:
    other = b"another beginning" + NOISE
    wanted = _wanted()

    found = dict(copies(wanted, [_source(tmp_path, other, cut(other, 4096))]))

    assert len(found) >= len(INDEX.digests) - 2
    assert all(digest_of(data) == INDEX.digests[place].hex() for place, data in found.items())
    assert len(wanted) == len(INDEX.digests) - len(found)


def test_a_file_that_was_damaged_gives_its_good_chunks_only(tmp_path: Path) -> None:
    damaged = bytearray(NOISE)
    damaged[INDEX.lengths[0]] ^= 1

    found = dict(copies(_wanted(), [_source(tmp_path, bytes(damaged), INDEX)]))

    assert set(range(len(INDEX.digests))) - set(found) == {1}


@pytest.mark.parametrize("index", [b"", b"nonsense", b"\xff" * 100])
def test_a_file_whose_cut_cannot_be_read_gives_nothing(index: bytes, tmp_path: Path) -> None:
    source = _source(tmp_path, NOISE, INDEX)
    source.index.write_bytes(index)

    assert list(copies(_wanted(), [source, Source(data=tmp_path / "none", index=tmp_path / "none")])) == []


def test_what_the_running_release_holds_is_not_fetched(device: FakeDevice, repository: SignedRepository) -> None:
    model = random.Random("1").randbytes(20_000)
    repository.publish(an_artifact(version="2", counter=2, content=model[:9_000] + b"new" + model[9_000:]))

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert 0 < len(device.courier.sent) <= 3
    assert device.last.chunks_done == device.last.chunks_total >= 4


def test_what_a_fetch_that_was_given_up_left_behind_is_not_fetched_again(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    model = random.Random("2").randbytes(20_000)
    repository.publish(an_artifact(version="3", counter=3, content=model))
    device.courier.silent_after = 3
    device.clock.on_pass(10.0, lambda: device.interrupt_with("digits@3"))
    device.offer("digits@2")
    device.courier.silent_after = None
    fetched = set(device.courier.sent)
    device.courier.sent.clear()

    device.offer("digits@3")

    assert device.running == "digits@3"
    assert len(fetched) == 3
    assert len(device.courier.sent) <= device.last.chunks_total - 2


def test_a_damaged_slot_is_no_source(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2, content=random.Random("1").randbytes(20_000)))
    good = device.slots.pointer(MODEL).good
    assert good is not None
    path = device.slots.path(MODEL, good)
    path.write_bytes(bytes(len(path.read_bytes())))

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert len(device.courier.sent) == device.last.chunks_total


def test_a_chunk_that_an_artifact_has_many_times_is_fetched_once(
    device: FakeDevice, repository: SignedRepository
) -> None:
    index = repository.publish(an_artifact(version="2", counter=2, content=bytes(80_000)))

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert len(set(index.digests)) < len(index.digests)
    assert len(device.courier.sent) <= len(set(index.digests))


@pytest.mark.parametrize("after_writes", [21, 26])
def test_a_power_cut_costs_what_was_not_synced_and_no_more(
    after_writes: int, device: FakeDevice, repository: SignedRepository
) -> None:
    index = repository.publish(an_artifact(version="2", counter=2, content=NOISE))
    disk = CrashingDisk(after_writes)
    device.disk = disk
    device.restart()

    with pytest.raises(PowerCut):
        device.offer("digits@2", max_bytes_s=20_000)
    disk.left = None
    device.restart()
    device.resume()

    again = sorted(place for place, times in device.courier.sent.items() if times > 1)
    starts = list(accumulate(index.lengths, initial=0))
    assert device.running == "digits@2"
    assert disk.lost_offsets
    assert {starts[place] for place in again} >= set(disk.lost_offsets)
    assert len(again) <= len(disk.lost_offsets) + 1  # the one that was on its way
    assert device.courier.repeated_verified == 0


@pytest.mark.slow
def test_twenty_thousand_chunks_take_little_memory_and_no_square_of_time(tmp_path: Path) -> None:
    digests = tuple(place.to_bytes(32, "big") for place in range(20_000))
    index = ChunkIndex(artifact=digest_of(b""), digests=digests, lengths=(1,) * 20_000)
    tracemalloc.start()

    partial = Partial(tmp_path, index, SystemDisk())
    partial.open()
    wanted = partial.wanted()
    for place in range(20_000):
        partial.put(place, b"x", now_s=0.0)
        _ = partial.first
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(wanted) == 20_000
    assert (partial.done, partial.missing) == (20_000, [])
    assert peak_bytes < 6_000_000
