"""Pulling an artifact over a link that loses, repeats, damages and delays."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from contracts.chunks import index_of, pieces
from contracts.codec import encode
from contracts.ids import ProfileName, ReleaseId, digest_of
from contracts.release import ReleasedArtifact, TargetCustom
from contracts.update import UpdateState
from edge_agent.delivery.fetch import checked_index
from edge_agent.delivery.pace import Pace
from edge_agent.delivery.partial import Partial
from edge_agent.disk import SystemDisk
from edge_agent.errors import IndexMismatch
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.repository import SignedRepository

DATA = random.Random(5).randbytes(10_240)
INDEX = index_of(DATA, [*[1000] * 10, 240])
PIECES = list(pieces(DATA, INDEX.lengths))


def _partial(folder: Path) -> Partial:
    partial = Partial(folder, INDEX, SystemDisk())
    partial.open()
    return partial


def _put_all(partial: Partial, order: Iterable[int]) -> None:
    for place in order:
        partial.put(place, PIECES[place], now_s=0.0)


def _plan(**changes: object) -> ReleasedArtifact:
    data = encode(INDEX)
    custom = TargetCustom(
        release=ReleaseId("digits@1"),
        counter=1,
        profile=ProfileName("pi"),
        index=digest_of(data),
        index_length=len(data),
        min_agent_version="0.1.0",
    )
    stated = {"path": "digits/1/pi.artifact", "profile": "pi", "digest": INDEX.artifact, "length": len(DATA)}
    return ReleasedArtifact(**{**stated, **changes}, custom=custom)  # type: ignore[arg-type]  # fields change by name


def test_chunks_that_get_lost_are_asked_for_again(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2"))
    device.courier.lost = {1, 4}

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert {place: count for place, count in device.courier.sent.items() if count > 1} == {1: 2, 4: 2}


def test_silence_is_waited_out_longer_and_longer(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2"))
    device.courier.silent_after = 0
    device.clock.on_pass(3600.0, lambda: setattr(device.courier, "silent_after", None))
    started_s = device.clock.monotonic_s()

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert device.clock.monotonic_s() - started_s >= 3600.0


def test_a_chunk_that_is_wrong_once_is_asked_for_again(device: FakeDevice, repository: SignedRepository) -> None:
    index = repository.publish(an_artifact(version="2"))
    device.courier.corrupt[2] = bytes(index.lengths[2])
    device.clock.on_pass(0.1, device.courier.corrupt.clear)
    device.courier.lost = {3}

    device.offer("digits@2")

    assert device.running == "digits@2"


@pytest.mark.parametrize("wrong", [b"", b"x", bytes(4096), bytes(100_000)])
def test_a_chunk_of_any_wrong_shape_is_refused(wrong: bytes, device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2"))
    device.courier.corrupt[0] = wrong

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "chunk_mismatch")


def test_an_index_that_was_not_signed_is_refused(device: FakeDevice, repository: SignedRepository) -> None:
    index = repository.publish(an_artifact(version="2"))
    forged = encode(dataclasses.replace(index, digests=(bytes(32), *index.digests[1:])))
    repository.indexes = dict.fromkeys(repository.indexes, forged)

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "index_mismatch")
    assert not device.courier.sent


def test_progress_is_reported_in_chunks(device: FakeDevice, repository: SignedRepository) -> None:
    index = repository.publish(an_artifact(version="2"))

    device.offer("digits@2", max_bytes_s=4_000)

    done = [report.chunks_done for report in device.reports if report.state is UpdateState.DOWNLOADING]
    assert done[0] == 0
    assert done[-1] == len(index.lengths)
    assert done == sorted(done)
    assert len(done) > 3


def test_a_bounded_transfer_takes_its_time(device: FakeDevice, repository: SignedRepository) -> None:
    artifact = an_artifact(version="2")
    repository.publish(artifact)
    started_s = device.clock.monotonic_s()

    device.offer("digits@2", max_bytes_s=2_000)

    assert device.clock.monotonic_s() - started_s >= 0.95 * len(artifact) / 2_000


def test_leftovers_of_another_release_are_cleared(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2"))
    leftover = device.state / "fetch" / ("0" * 64) / "data"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(bytes(1000))

    device.offer("digits@2")

    assert not leftover.exists()


def test_what_is_verified_survives_and_the_rest_is_missing(tmp_path: Path) -> None:
    partial = _partial(tmp_path)
    partial.put(0, PIECES[0], now_s=0.0)
    partial.put(9, PIECES[9], now_s=0.0)
    partial.sync()

    again = _partial(tmp_path)

    assert again.missing == [place for place in range(11) if place not in (0, 9)]
    assert (again.done, again.total) == (2, 11)


def test_a_chunk_that_was_damaged_on_disk_is_missing_again(tmp_path: Path) -> None:
    partial = _partial(tmp_path)
    partial.put(0, PIECES[0], now_s=0.0)
    partial.put(1, PIECES[1], now_s=0.0)
    partial.sync()
    SystemDisk().write_at(partial.data, b"\xff", 1500)

    assert _partial(tmp_path).missing == list(range(1, 11))


def test_a_bitmap_of_nonsense_is_believed_in_nothing(tmp_path: Path) -> None:
    _partial(tmp_path)
    (tmp_path / "verified").write_bytes(b"\xff" * 50)

    assert _partial(tmp_path).missing == list(range(11))


def test_all_chunks_together_are_the_artifact(tmp_path: Path) -> None:
    partial = _partial(tmp_path)

    _put_all(partial, reversed(range(11)))

    assert partial.data.read_bytes() == DATA


def test_an_index_that_fits_is_taken() -> None:
    assert checked_index(encode(INDEX), _plan()) == INDEX


def test_an_index_of_another_artifact_is_refused() -> None:
    with pytest.raises(IndexMismatch, match="does not describe the signed artifact"):
        checked_index(encode(INDEX), _plan(digest=digest_of(b"other")))


def test_an_index_that_adds_up_to_another_length_is_refused() -> None:
    with pytest.raises(IndexMismatch, match="does not describe the signed artifact"):
        checked_index(encode(INDEX), _plan(length=1))


def test_an_unbounded_pace_never_waits() -> None:
    pace = Pace(bytes_s=0, started_s=0.0)

    assert pace.wait_s(10**9, now_s=0.0) == 0.0
    assert pace.affordable([10**6] * 8, now_s=0.0) == 8


def test_a_pace_saves_up_for_a_quarter_second_and_no_longer() -> None:
    pace = Pace(bytes_s=1_000_000, started_s=0.0)

    assert pace.affordable([50_000] * 20, now_s=3600.0) == 5


def test_a_pace_lets_one_chunk_through_however_slow() -> None:
    pace = Pace(bytes_s=10, started_s=0.0)

    assert pace.affordable([65_536] * 4, now_s=0.0) == 1
