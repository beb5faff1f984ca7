"""Attacks on time: 11, 12 and 35 of the design's list, and what the passing of time must never stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from contracts.update import UpdateState
from tests.attacks.trusting import (
    DIRECTOR,
    FAR_AHEAD,
    MODELS,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    assert_follows,
    assert_refused,
    assert_untouched,
)
from tests.fakes.clock import START, FakeClock
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.disk import CrashingDisk, PowerCut
from tests.fakes.repository import SignedRepository
from tests.fakes.tuf_files import FAR

DIGITS_2 = an_artifact(version="2", counter=2)
DAY = timedelta(days=1)
WRONG_CLOCKS = [START, datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC), START - 365 * DAY]


@pytest.mark.parametrize("repository_name", [MODELS, DIRECTOR])
def test_attack_11_a_timestamp_that_was_valid_once_is_replayed(
    repository_name: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    frozen = repository if repository_name == MODELS else repository.director
    frozen.expires = START + DAY
    frozen.sign()
    device.offer("digits@9")
    repository.director.now = START + 2 * DAY

    device.offer("digits@2")

    assert_refused(device, "metadata_expired")


@pytest.mark.parametrize("role", [SNAPSHOT, TARGETS])
def test_attack_11_an_expired_file_behind_a_fresh_timestamp(
    role: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.rewrite(role, lambda signed: setattr(signed, "expires", START + DAY))
    repository.director.now = START + 2 * DAY

    device.offer("digits@2")

    assert_refused(device, "metadata_expired")


def test_attack_11_an_expired_root(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.root_expires = START + DAY
    repository.rotate_root()
    repository.director.now = START + 2 * DAY

    device.offer("digits@2")

    assert_refused(device, "metadata_expired")


@pytest.mark.parametrize("clock_at", WRONG_CLOCKS)
def test_attack_12_freeze_whatever_the_device_clock_is_set_to(
    clock_at: datetime, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.expires = START + DAY
    repository.sign()
    repository.director.now = START + 2 * DAY
    device.clock = FakeClock(clock_at)
    device.restart()

    device.offer("digits@2")

    assert_refused(device, "metadata_expired")


def test_attack_12_freeze_of_the_directors_time(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    repository.instead[DIRECTOR, TIMESTAMP] = repository.director.sign_timestamp(bytes(range(16)))

    device.offer("digits@2", assigned=False)

    assert_refused(device, "time_unanswered")


def test_attack_12_a_server_whose_time_runs_backwards_makes_nothing_young(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.director.now = START + 2 * DAY
    device.offer("digits@9")
    repository.expires = START + DAY
    repository.sign()
    repository.director.now = START

    device.offer("digits@2")

    assert_refused(device, "metadata_expired")


def test_attack_12_a_timestamp_without_any_time(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    repository.director.sign_timestamp(b"")
    repository.director.rewrite(TIMESTAMP, lambda timestamp: timestamp.unrecognized_fields.clear())
    newest = repository.director.newest(TIMESTAMP)
    repository.instead[DIRECTOR, TIMESTAMP] = repository.director.files[TIMESTAMP, newest]

    device.offer("digits@2", assigned=False)

    assert_refused(device, "time_unanswered")


@pytest.mark.parametrize(
    ("step", "honest_step", "code"), [(1, 20, "metadata_expired"), (FAR_AHEAD, 1, "metadata_rollback")]
)
def test_attack_35_time_fast_forward_by_a_stolen_director_key_then_recovery(
    step: int, honest_step: int, code: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    director = repository.director
    director.now, director.step = datetime(2099, 1, 1, tzinfo=UTC), step
    device.offer("digits@9")

    director.now, director.step = START, honest_step
    director.files = {key: data for key, data in director.files.items() if key[0] == ROOT}
    repository.expires = START + 30 * DAY
    repository.sign()
    device.offer("digits@2")
    assert_refused(device, code)

    director.rotate(TIMESTAMP, SNAPSHOT, TARGETS)
    assert_follows(device, "digits@2")


def test_attack_35_a_time_at_which_the_directors_own_root_has_expired_is_not_remembered(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.director.root_expires = START + 365 * DAY
    repository.director.rotate_root()
    repository.director.now = datetime(2099, 1, 1, tzinfo=UTC)
    device.offer("digits@2")
    assert_refused(device, "metadata_expired")

    repository.director.now = START

    assert_follows(device, "digits@2")


def test_attack_35_the_time_is_forgotten_before_the_new_root_is_judged_by_it(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.director.now = START + 1000 * DAY
    device.offer("digits@9")

    repository.director.now = START
    repository.director.root_expires = START + 365 * DAY
    repository.director.rotate(TIMESTAMP, SNAPSHOT, TARGETS)

    assert_follows(device, "digits@2")


@pytest.mark.parametrize("clock_at", WRONG_CLOCKS)
def test_a_device_off_for_90_days_and_three_roots_behind_comes_back_by_itself(
    clock_at: datetime, device: FakeDevice, repository: SignedRepository
) -> None:
    director = repository.director
    repository.expires = director.expires = START + DAY
    repository.root_expires = director.root_expires = START + 60 * DAY
    for files in (repository, director):
        files.rotate_root()
        files.sign()
    device.offer("digits@9")

    director.now = START + 90 * DAY
    repository.expires = director.expires = START + 97 * DAY
    for files in (repository, director):
        files.rotate("root", TIMESTAMP, SNAPSHOT, TARGETS)
        files.root_expires = START + 400 * DAY
        files.rotate("root", TARGETS)
        files.rotate("root", TIMESTAMP, SNAPSHOT)
    repository.publish(DIGITS_2)
    device.clock = FakeClock(clock_at)
    device.restart()

    assert_follows(device, "digits@2")


def test_expiry_stops_installs_and_nothing_that_runs(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.director.now = START + 2 * FAR

    device.offer("digits@1")
    assert (device.last.state, device.running) == (UpdateState.HEALTHY, "digits@1")

    device.offer("digits@2")
    assert_refused(device, "metadata_expired")


def test_expired_metadata_in_the_folder_do_not_stop_the_refresh(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.expires = repository.director.expires = START + DAY
    repository.director.sign()
    repository.sign()
    device.offer("digits@9")
    repository.expires = repository.director.expires = START + FAR
    repository.director.now = START + 200 * DAY
    repository.publish(DIGITS_2)

    assert_follows(device, "digits@2")


@pytest.mark.parametrize("after_writes", [25, 28])
def test_a_pinned_plan_is_completed_after_a_restart_though_everything_has_expired_since(
    after_writes: int, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    disk = CrashingDisk(after_writes)
    device.disk = disk
    device.restart()
    with pytest.raises(PowerCut):
        device.offer("digits@2")
    repository.director.now = START + 2 * FAR
    repository.raise_floor("digits", 99)
    asked = len(repository.asked)

    disk.left = None
    device.restart()
    device.resume()

    assert (device.last.state, device.running) == (UpdateState.HEALTHY, "digits@2")
    assert {question.name for question in repository.asked[asked:]} <= {"index"}


def test_a_silent_server_changes_nothing(device: FakeDevice, repository: SignedRepository) -> None:
    repository.instead[DIRECTOR, TIMESTAMP] = b""

    device.offer("digits@9")

    assert (device.last.state, device.last.code) == (UpdateState.FAILED, "metadata_missing")
    assert_untouched(device)
