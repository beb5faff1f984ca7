"""Attacks with, on and through the director: 19 to 24 of the design's list, and 1 to 10 on its own metadata."""

from __future__ import annotations

import dataclasses

import pytest
from tuf.api.metadata import MetaFile, TargetFile

from contracts.codec import to_plain
from contracts.director import Assignment
from contracts.ids import TenantId, digest_of, parse_device_id
from contracts.release import target_path
from contracts.update import UpdateState
from tests.attacks.trusting import (
    DIRECTOR,
    FAR_AHEAD,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    assert_follows,
    assert_refused,
)
from tests.fakes.device import DEVICE, FakeDevice, an_artifact
from tests.fakes.repository import PI, SignedRepository

DIGITS_2 = an_artifact(version="2", counter=2)
PATH_2 = "digits/2/raspberry-pi-4.artifact"


@pytest.mark.parametrize("role", [TARGETS, SNAPSHOT, TIMESTAMP])
def test_attack_01_a_director_signed_by_a_stranger(role: str, device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.director.lose_key(role)

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_02_a_director_root_below_its_threshold(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.director.demand("root", keys=3, threshold=2)
    repository.director.signers["root"] = repository.director.signers["root"][:1]
    repository.director.rotate_root()

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_04_a_director_root_signed_only_by_its_new_keys(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.director.rotate_root(signed_by_old=False)

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_19_a_stolen_director_key_names_an_unreleased_hash(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    genuine = repository.targets["targets"].targets[PATH_2]
    forged = TargetFile(
        length=genuine.length,
        hashes={"sha256": digest_of(b"never released")},
        path=PATH_2,
        unrecognized_fields={"custom": genuine.custom},
    )
    repository.director.name(PATH_2, forged)

    device.offer("digits@2", assigned=False)

    assert_refused(device, "director_disagrees")


@pytest.mark.parametrize("field", ["counter", "index", "runtime", "min_agent_version"])
def test_attack_19_a_stolen_director_key_alters_the_custom_field(
    field: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    genuine = repository.targets["targets"].targets[PATH_2]
    custom = {**genuine.custom, field: "0"}
    forged = TargetFile(genuine.length, genuine.hashes, PATH_2, unrecognized_fields={"custom": custom})
    repository.director.name(PATH_2, forged)

    device.offer("digits@2", assigned=False)

    assert_refused(device, "director_disagrees")


def test_attack_19_a_stolen_director_key_names_a_length_without_end(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    genuine = repository.targets["targets"].targets[PATH_2]
    forged = TargetFile(2**50, genuine.hashes, PATH_2, unrecognized_fields={"custom": genuine.custom})
    repository.director.name(PATH_2, forged)

    device.offer("digits@2", assigned=False)

    assert_refused(device, "director_disagrees")


def test_attack_19_a_stolen_director_key_names_a_path_that_was_never_released(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.assign("digits@6.6.6")

    device.offer("digits@6.6.6", assigned=False)

    assert_refused(device, "release_unknown")


def test_attack_20_a_released_model_for_other_hardware(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2, profile="coral-dev-board"))
    path = "digits/2/coral-dev-board.artifact"
    repository.director.name(path, repository.targets["targets"].targets[path])

    device.offer("digits@2", assigned=False)

    assert_refused(device, "profile_mismatch")


def test_attack_20_a_released_model_for_a_runtime_that_is_not_here(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    device.runtimes = frozenset({"onnx"})
    device.restart()

    device.offer("digits@2")

    assert_refused(device, "runtime_missing")


def test_attack_20_a_released_model_for_a_newer_agent(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", counter=2, min_agent_version="99.0"))

    device.offer("digits@2")

    assert_refused(device, "agent_too_old")


def test_attack_21_an_old_revoked_release(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="0", counter=1))
    repository.raise_floor("digits", 2)

    device.offer("digits@0")

    assert_refused(device, "below_floor")


def test_attack_21_a_revoked_release_in_the_spare_slot(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    device.offer("digits@2")
    repository.raise_floor("digits", 2)

    device.offer("digits@1")

    assert (device.last.state, device.last.code, device.running) == (UpdateState.REFUSED, "below_floor", "digits@2")


def test_attack_21_a_floor_that_is_taken_back_stays(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="0", counter=1))
    repository.raise_floor("digits", 2)
    device.offer("digits@9")
    repository.targets["targets"].unrecognized_fields.clear()
    repository.sign()

    device.offer("digits@0")

    assert_refused(device, "below_floor")


def test_attack_22_targets_of_another_device(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    repository.director.device = parse_device_id("pi-2")
    repository.director.sign()
    repository.director.device = DEVICE

    device.offer("digits@2", assigned=False)

    assert_refused(device, "assigned_elsewhere")


def test_attack_22_a_timestamp_of_another_device(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    repository.director.device = parse_device_id("pi-2")

    device.offer("digits@2", assigned=False)

    assert_refused(device, "assigned_elsewhere")


def test_attack_22_targets_of_another_tenants_device_of_that_name(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    other = dataclasses.replace(_assignment(), tenant=TenantId("other"))
    repository.director.rewrite(
        TARGETS, lambda targets: targets.unrecognized_fields.update({"assignment": to_plain(other)})
    )

    device.offer("digits@2", assigned=False)

    assert_refused(device, "assigned_elsewhere")


def test_attack_23_old_targets_of_this_device_after_newer_ones(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    old = repository.director.files[TARGETS, repository.director.newest(TARGETS)]
    repository.assign("digits@1")
    repository.instead[DIRECTOR, TARGETS] = old

    device.offer("digits@2", assigned=False)

    assert_refused(device, "metadata_mixed")


def test_attack_23_an_old_snapshot_and_old_targets_together(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    director = repository.director
    old = {role: director.files[role, director.newest(role)] for role in (SNAPSHOT, TARGETS)}
    repository.assign("digits@1")
    repository.instead.update({(DIRECTOR, role): data for role, data in old.items()})

    device.offer("digits@2", assigned=False)

    assert_refused(device, "metadata_mixed")


def test_attack_23_everything_old_together_answers_no_question_of_today(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@2")
    director = repository.director
    director.sign_timestamp(bytes(16))
    old = {role: director.files[role, director.newest(role)] for role in (SNAPSHOT, TARGETS, TIMESTAMP)}
    repository.assign("digits@1")
    repository.instead.update({(DIRECTOR, role): data for role, data in old.items()})

    device.offer("digits@2", assigned=False)

    assert_refused(device, "time_unanswered")


def test_attack_23_with_the_stolen_key_older_versions_are_signed_again(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    device.offer("digits@9")
    director = repository.director
    newest = director.newest(SNAPSHOT)
    director.files = {key: data for key, data in director.files.items() if key[0] == ROOT}
    repository.assign("digits@2")
    assert director.newest(SNAPSHOT) < newest

    device.offer("digits@2", assigned=False)

    assert_refused(device, "metadata_rollback")


def test_attack_23_an_offer_that_the_director_does_not_know_of(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.assign("digits@1")

    device.offer("digits@2", assigned=False)

    assert_refused(device, "release_unassigned")


def test_attack_23_a_director_that_names_two_releases_of_one_model(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.director.targets = dict(repository.targets["targets"].targets)
    repository.director.sign()

    device.offer("digits@2", assigned=False)

    assert_refused(device, "assignment_refused")


@pytest.mark.parametrize("path", ["../../etc/passwd", "digits/2/raspberry-pi-4.sh", "digits/2/x/y.artifact"])
def test_attack_23_a_director_that_names_what_is_no_artifact(
    path: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.director.targets = {path: TargetFile(1, {"sha256": digest_of(b"")}, path)}
    repository.director.sign()

    device.offer("digits@2", assigned=False)

    assert_refused(device, "assignment_refused")


def test_attack_24_all_online_keys_stolen_install_nothing_unreleased(
    device: FakeDevice, repository: SignedRepository
) -> None:
    online = repository.signers[TIMESTAMP]
    repository.signers[TARGETS] = online
    repository.publish(an_artifact(version="6.6.6", counter=99))

    device.offer("digits@6.6.6")

    assert_refused(device, "signature_refused")


def test_attack_24_all_online_keys_stolen_name_genuine_targets_of_another_day(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="0", counter=1))
    old = repository.newest(TARGETS)
    repository.raise_floor("digits", 2)
    device.offer("digits@9")
    repository.rewrite(SNAPSHOT, lambda snapshot: snapshot.meta.update({"targets.json": MetaFile(old)}))
    repository.rewrite(TIMESTAMP, lambda timestamp: setattr(timestamp, "version", FAR_AHEAD))
    device.disk.remove_tree(device.state / "metadata" / "models")

    device.offer("digits@0")

    assert_refused(device, "metadata_rollback")


def test_attack_24_after_all_online_keys_are_replaced_the_device_follows(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.director.step = FAR_AHEAD
    repository.jump(FAR_AHEAD)
    repository.publish(DIGITS_2)
    device.offer("digits@9")

    repository.director.step = 1
    for files in (repository, repository.director):
        files.files = {key: data for key, data in files.files.items() if key[0] == ROOT}
    repository.rotate(TIMESTAMP, SNAPSHOT, TARGETS)
    repository.director.rotate(TIMESTAMP, SNAPSHOT, TARGETS)
    repository.jump(7)

    assert_follows(device, "digits@2")


def test_a_rollback_by_an_operator_is_a_newer_version_of_the_director(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    assert_follows(device, "digits@2")
    device.courier.sent.clear()

    assert_follows(device, "digits@1")

    assert not device.courier.sent
    assert target_path(device.slots.models()[0], "1", PI) in repository.director.targets


def _assignment() -> Assignment:
    return Assignment(tenant=TenantId("default"), device=DEVICE, generation=1)
