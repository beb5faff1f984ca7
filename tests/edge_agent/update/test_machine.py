"""One offer from arrival to its end, in every way that it can end."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.codec import MESSAGE_LIMIT_BYTES, encode
from contracts.ids import ModelName
from contracts.manifest import Budget
from contracts.update import UpdateState
from edge_agent.delivery.courier import Stopping
from edge_agent.errors import NothingToRevert, ReportTooLong
from edge_agent.state_folder import StateFolder
from edge_agent.trust.errors import BelowFloor
from edge_agent.trust.memory import COPIES
from edge_agent.update.machine import UpdateMachine
from tests.fakes.device import MODEL, FakeDevice, an_artifact
from tests.fakes.disk import FullDisk, StuckDisk
from tests.fakes.repository import SignedRepository
from tests.fakes.serving import Figures


def test_an_offered_release_is_installed_and_serves(device: FakeDevice, repository: SignedRepository) -> None:
    index = repository.publish(an_artifact(version="2", counter=2))

    device.offer("digits@2")

    assert device.running == "digits@2"
    assert device.told == [
        UpdateState.DOWNLOADING,
        UpdateState.VERIFYING,
        UpdateState.INSTALLING,
        UpdateState.PROBATION,
        UpdateState.HEALTHY,
    ]
    assert device.last.running == "digits@2"
    assert device.last.chunks_done == device.last.chunks_total == len(index.lengths)


def test_an_installed_release_serves_after_a_restart(device: FakeDevice) -> None:
    device.restart()

    assert device.running == "digits@1"


def test_an_offer_that_is_not_newer_is_no_news(device: FakeDevice) -> None:
    device.offer("digits@9", generation=1)

    assert device.reports == []
    assert device.running == "digits@1"


def test_an_offer_of_what_runs_is_healthy_at_once(device: FakeDevice) -> None:
    device.offer("digits@1")

    assert device.told == [UpdateState.HEALTHY]
    assert device.courier.metadata_requests == []


def test_the_previous_release_comes_back_without_a_download(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")
    device.courier.sent.clear()
    device.reports.clear()

    device.offer("digits@1")

    assert device.running == "digits@1"
    assert device.told == [UpdateState.INSTALLING, UpdateState.PROBATION, UpdateState.HEALTHY]
    assert not device.courier.sent


def test_the_previous_release_comes_back_only_if_both_repositories_name_it(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")

    device.offer("digits@1", assigned=False)

    assert (device.last.code, device.running) == ("release_unassigned", "digits@2")
    repository.targets["targets"].targets.pop("digits/1/raspberry-pi-4.artifact")
    repository.sign()
    device.offer("digits@1")
    assert (device.last.code, device.running) == ("release_unknown", "digits@2")


def test_another_artifact_under_the_previous_releases_name_is_fetched(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")
    device.courier.sent.clear()
    repository.publish(an_artifact(version="1", counter=3))

    device.offer("digits@1")

    assert device.running == "digits@1"
    assert device.courier.sent


def test_a_failed_trial_leads_back_to_what_ran_though_a_floor_has_risen_above_it(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    repository.raise_floor("digits", 2)
    device.serving.crashing.add("digits@2")

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "probation_crashed")
    _assert_nothing_changed(device)


def test_going_back_by_hand_never_leads_below_the_floor(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    repository.raise_floor("digits", 2)
    device.offer("digits@2")

    with pytest.raises(BelowFloor, match="release counter 1, below the security floor of 2"):
        device.machine.go_back(MODEL)

    device.restart()
    assert device.running == "digits@2"


def test_a_damaged_memory_stops_installs_and_nothing_that_runs(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    (device.state / "metadata" / COPIES[0]).write_bytes(b"rot")
    (device.state / "metadata" / COPIES[1]).write_bytes(b"rot")

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "memory_damaged")
    assert "remove that folder by hand" in device.last.detail
    _assert_nothing_changed(device)


def test_a_damaged_previous_release_is_fetched_again(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")
    device.courier.sent.clear()
    device.slots.path(MODEL, device.slots.pointer(MODEL).spare).write_bytes(b"rot")

    device.offer("digits@1")

    assert device.running == "digits@1"
    assert 0 < sum(device.courier.sent.values()) <= device.last.chunks_total


def test_a_release_signed_with_a_wrong_key_is_refused(device: FakeDevice, repository: SignedRepository) -> None:
    repository.lose_key("targets")
    repository.publish(an_artifact(version="2", counter=2))

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "signature_refused")
    assert "targets metadata are not signed by the keys that the trusted root names" in device.last.detail
    _assert_nothing_changed(device)


def test_a_flipped_byte_is_refused(device: FakeDevice, repository: SignedRepository) -> None:
    index = repository.publish(an_artifact(version="2", counter=2))
    device.courier.corrupt[3] = bytes(index.lengths[3])

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "chunk_mismatch")
    assert f"chunk 3 of {len(index.lengths)}" in device.last.detail
    assert device.courier.sent[3] == 3
    _assert_nothing_changed(device)


def test_replayed_old_metadata_are_refused(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")
    device.offer("digits@1")
    repository.roll_back(1)

    device.offer("digits@3")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "metadata_rollback")
    assert "older than what this device has seen" in device.last.detail
    assert device.running == "digits@1"


def test_a_manifest_that_differs_from_what_was_signed_is_refused(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2), counter=7)

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "artifact_mismatch")
    _assert_nothing_changed(device)


def test_an_offer_whose_model_is_not_its_release_is_refused(device: FakeDevice) -> None:
    device.offer("digits@2")
    device.offer("faces@1")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "release_unknown")


def test_a_slow_release_reverts_by_itself(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2, budget=Budget(latency_p95_ms=5.0)))
    device.serving.figures["digits@2"] = Figures(latencies_ms=(9.0,) * 8)

    device.offer("digits@2")

    assert device.told[-2:] == [UpdateState.PROBATION, UpdateState.ROLLED_BACK]
    assert device.last.code == "probation_latency"
    assert "p95 of 16 single-row runs is 9.000 ms, its budget is 5.000 ms" in device.last.detail
    _assert_nothing_changed(device)
    assert "digits@2" not in device.serving.served


def test_however_much_a_runtime_says_the_report_fits_a_message(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.serving.crashing.add("digits@2")
    device.serving.last_words = "no such operator; " * 20_000

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "probation_crashed")
    assert len(encode(device.last)) < MESSAGE_LIMIT_BYTES / 10


def test_a_release_that_turns_slow_under_watch_reverts(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2, budget=Budget(latency_p95_ms=5.0)))
    device.watch_s = 60.0
    device.restart()
    latencies_ms = [1.0] * 8
    device.serving.figures["digits@2"] = Figures(latencies_ms=latencies_ms)
    device.clock.on_pass(50.0, lambda: latencies_ms.extend([9.0] * 80))

    device.offer("digits@2")

    assert "digits@2" in device.serving.served
    assert device.last.code == "probation_latency"
    _assert_nothing_changed(device)


def test_wrong_answers_revert(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.serving.figures["digits@2"] = Figures(max_difference=0.5, disagreements=2)

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "probation_golden")
    _assert_nothing_changed(device)


def test_a_model_that_its_runtime_refuses_reverts(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.serving.unloadable.add("digits@2")

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "model_refused")
    _assert_nothing_changed(device)


def test_a_model_that_breaks_its_runtime_reverts(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.serving.crashing.add("digits@2")

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "probation_crashed")
    _assert_nothing_changed(device)


def test_a_first_release_that_fails_leaves_nothing_serving(tmp_path: Path, repository: SignedRepository) -> None:
    device = FakeDevice(tmp_path / "new", repository)
    device.serving.crashing.add("digits@1")

    device.offer("digits@1")

    assert device.last.state is UpdateState.ROLLED_BACK
    assert device.running == ""


@pytest.mark.parametrize("word", ["fetch", "models"])
def test_a_full_disk_leaves_the_old_release_serving(
    word: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.disk = FullDisk(word)
    device.restart()

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.FAILED, "disk_full")
    assert "free some space and offer it again" in device.last.detail
    _assert_nothing_changed(device)


def test_a_disk_too_full_for_the_journal_still_ends_in_a_report(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.disk = FullDisk("journal", "fetch")
    device.restart()

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.FAILED, "disk_full")
    _assert_nothing_changed(device)


def test_after_a_full_disk_the_next_offer_works(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    disk = FullDisk("fetch")
    device.disk = disk
    device.restart()
    device.offer("digits@2")

    disk.words = ()
    device.offer("digits@2")

    assert device.running == "digits@2"


def test_a_server_that_refuses_the_chunks_ends_the_update(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.courier.refusal = "not_assigned"

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.FAILED, "chunks_refused")
    assert "not_assigned" in device.last.detail


def test_a_newer_offer_supersedes_a_download(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.courier.silent_after = 2
    device.clock.on_pass(5.0, lambda: device.interrupt_with("digits@1"))

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.CANCELLED, "superseded")
    offer = device.mailroom.next_offer(0.0)
    assert offer is not None
    device.machine.accept(offer)
    assert (device.last.state, device.running) == (UpdateState.HEALTHY, "digits@1")


def test_a_newer_offer_during_the_watch_takes_the_release_back(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.watch_s = 60.0
    device.restart()
    device.clock.on_pass(50.0, lambda: device.interrupt_with("digits@1"))

    device.offer("digits@2")

    assert (device.last.state, device.last.code) == (UpdateState.ROLLED_BACK, "superseded")
    _assert_nothing_changed(device)


def test_the_end_of_the_process_during_the_watch_is_no_verdict(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.watch_s = 60.0
    device.restart()
    device.clock.on_pass(50.0, device.mailroom.stop)
    with pytest.raises(Stopping):
        device.offer("digits@2")

    device.restart()
    device.resume()

    assert (device.last.state, device.running) == (UpdateState.HEALTHY, "digits@2")


def test_going_back_by_hand_serves_the_previous_release(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.offer("digits@2")

    device.machine.go_back(MODEL)

    assert device.running == "digits@1"
    device.restart()
    assert device.running == "digits@1"


def test_going_back_never_leads_to_a_release_that_failed(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2))
    device.serving.crashing.add("digits@2")
    device.offer("digits@2")

    with pytest.raises(NothingToRevert, match="digits"):
        device.machine.go_back(MODEL)


def test_a_damaged_journal_is_set_aside_and_the_good_release_serves(device: FakeDevice) -> None:
    (device.state / "journal").write_bytes(b"\x00" * 200)

    device.restart()

    assert device.running == "digits@1"
    assert (device.state / "journal.damaged").exists()


def test_two_models_do_not_disturb_each_other(device: FakeDevice) -> None:
    assert device.slots.pointer(ModelName("faces")).good is None
    assert device.slots.models() == (MODEL,)


def _assert_nothing_changed(device: FakeDevice) -> None:
    """Release 1 serves, now and after a restart, and no half of another one lies about."""
    assert device.running == "digits@1"
    assert list((device.state / "fetch").glob("*")) == []
    device.restart()
    assert device.running == "digits@1"
    assert device.slots.pointer(MODEL).trial is None


def test_a_final_report_that_fits_no_message_is_told_without_its_detail(device: FakeDevice) -> None:
    device.outbox_errors = [ReportTooLong("too long")]

    device.offer("digits@9")

    assert (device.last.state, device.last.code, device.last.detail) == (UpdateState.REFUSED, "release_unknown", "")


def test_an_end_that_cannot_be_told_is_tried_again_later_and_not_at_once(device: FakeDevice) -> None:
    device.outbox_errors = [ReportTooLong("too long") for _ in range(1000)]

    with pytest.raises(ReportTooLong):
        device.offer("digits@9")

    assert len(device.outbox_errors) > 990
    device.outbox_errors.clear()
    device.resume()
    assert device.told == [UpdateState.REFUSED]


def test_chunks_that_cannot_be_removed_do_not_keep_an_update_from_its_end(device: FakeDevice) -> None:
    (StateFolder(device.state).fetch / "old").mkdir(parents=True)
    device.disk = StuckDisk()
    device.restart()

    device.offer("digits@9")

    assert device.told == [UpdateState.REFUSED]


def test_the_newest_generation_is_known_before_anything_serves(device: FakeDevice) -> None:
    device.offer("digits@9", generation=2**32)

    asleep = UpdateMachine(device.machine._parts)

    assert (device.machine.generation, asleep.generation) == (2**32, 2**32)
