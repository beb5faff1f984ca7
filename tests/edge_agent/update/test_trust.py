"""What the device believes, attack by attack; every refusal has its code and leaves the floor where it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from edge_agent.update.trust import Trust

from contracts.ids import digest_of, parse_profile_name, parse_release_id
from contracts.metadata import MetadataName, MetadataRequest
from edge_agent.disk import SystemDisk
from edge_agent.errors import ConfigError, MetadataMissing
from edge_agent.trust.errors import (
    AgentTooOld,
    MetadataExpired,
    MetadataRollback,
    ProfileMismatch,
    ReleaseUnknown,
    SignatureRefused,
)
from tests.fakes.clock import START
from tests.fakes.device import PROFILE, an_artifact
from tests.fakes.repository import SignedRepository

DIGITS_1 = parse_release_id("digits@1")
PI = parse_profile_name(PROFILE)


class _Source:
    """The repository's files, asked for directly."""

    def __init__(self, repository: SignedRepository) -> None:
        self._repository = repository
        self.asked: list[tuple[MetadataName, int]] = []

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        name, version, digest = asked.name, asked.version, asked.digest
        self.asked.append((name, version))
        data = self._repository.files.get((name, version or self._repository.newest(name)), b"")
        if digest or not 0 < len(data) <= limit_bytes:
            raise MetadataMissing(f"no {name} {version}")
        return data


@pytest.fixture
def trust(tmp_path: Path, repository: SignedRepository) -> Trust:
    (tmp_path / "root.json").write_bytes(repository.root)
    return Trust(tmp_path / "root.json", tmp_path / "metadata", SystemDisk())


def test_what_is_signed_is_found(trust: Trust, repository: SignedRepository) -> None:
    artifact = trust.refresh(_Source(repository), now=START).find(DIGITS_1, PI)

    assert artifact.path == "digits/1/raspberry-pi-4.artifact"
    assert artifact.custom.release == DIGITS_1
    assert (artifact.digest, artifact.length) == (digest_of(an_artifact(version="1")), len(an_artifact(version="1")))


def test_nothing_is_asked_for_twice_but_the_timestamp(trust: Trust, repository: SignedRepository) -> None:
    trust.refresh(_Source(repository), now=START)
    source = _Source(repository)

    trust.refresh(source, now=START)

    assert source.asked == [(MetadataName.ROOT, 2), (MetadataName.TIMESTAMP, 0)]


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_a_role_signed_by_a_stranger_is_refused(role: str, trust: Trust, repository: SignedRepository) -> None:
    trust.refresh(_Source(repository), now=START)
    repository.lose_key(role)
    repository.sign()

    with pytest.raises(SignatureRefused, match=f"{role} metadata are not signed"):
        trust.refresh(_Source(repository), now=START)


def test_a_flipped_byte_in_metadata_is_refused(trust: Trust, repository: SignedRepository) -> None:
    key = (MetadataName.TARGETS, repository.newest(MetadataName.TARGETS))
    repository.files[key] = repository.files[key].replace(b"digits/1/", b"digits/7/")

    with pytest.raises(SignatureRefused):
        trust.refresh(_Source(repository), now=START)


@pytest.mark.parametrize("name", [MetadataName.TIMESTAMP, MetadataName.SNAPSHOT, MetadataName.TARGETS])
def test_bytes_that_are_no_metadata_are_refused(name: MetadataName, trust: Trust, repository: SignedRepository) -> None:
    repository.files[name, repository.newest(name)] = b'{"signed": []}'

    with pytest.raises(SignatureRefused, match=f"{name} metadata are not what was signed"):
        trust.refresh(_Source(repository), now=START)


def test_old_metadata_replayed_together_are_a_rollback(trust: Trust, repository: SignedRepository) -> None:
    repository.sign()
    trust.refresh(_Source(repository), now=START)
    repository.roll_back(1)

    with pytest.raises(MetadataRollback, match="timestamp metadata are older"):
        trust.refresh(_Source(repository), now=START)


def test_old_targets_behind_a_new_snapshot_are_a_rollback(trust: Trust, repository: SignedRepository) -> None:
    old = repository.files[MetadataName.TARGETS, repository.newest(MetadataName.TARGETS)]
    repository.sign()
    repository.files[MetadataName.TARGETS, repository.newest(MetadataName.TARGETS)] = old

    with pytest.raises(MetadataRollback, match="targets metadata are older"):
        trust.refresh(_Source(repository), now=START)


def test_the_floor_outlives_a_restart_even_when_it_has_expired(
    tmp_path: Path, trust: Trust, repository: SignedRepository
) -> None:
    repository.expires = START + timedelta(days=1)
    repository.sign()
    trust.refresh(_Source(repository), now=START)
    repository.roll_back(1)

    with pytest.raises(MetadataRollback):
        trust.refresh(_Source(repository), now=START + timedelta(days=30))


def test_expired_metadata_are_refused(trust: Trust, repository: SignedRepository) -> None:
    repository.expires = START + timedelta(days=1)
    repository.sign()

    with pytest.raises(MetadataExpired, match="past their date"):
        trust.refresh(_Source(repository), now=START + timedelta(days=2))


def test_the_same_metadata_replayed_until_they_expire_are_refused(trust: Trust, repository: SignedRepository) -> None:
    repository.expires = START + timedelta(days=1)
    repository.sign()
    trust.refresh(_Source(repository), now=START)

    with pytest.raises(MetadataExpired):
        trust.refresh(_Source(repository), now=START + timedelta(days=2))


def test_a_device_that_was_off_for_months_recovers(trust: Trust, repository: SignedRepository) -> None:
    repository.expires = START + timedelta(days=1)
    repository.sign()
    trust.refresh(_Source(repository), now=START)
    repository.expires = START + timedelta(days=400)
    repository.sign()

    targets = trust.refresh(_Source(repository), now=START + timedelta(days=200))

    assert targets.find(DIGITS_1, PI).custom.release == DIGITS_1


def test_a_root_signed_by_the_one_before_takes_over(trust: Trust, repository: SignedRepository) -> None:
    repository.rotate_root()
    repository.rotate_root()

    trust.refresh(_Source(repository), now=START)

    assert trust.check_root(now=START) == 3


def test_a_root_that_only_signs_itself_is_refused(trust: Trust, repository: SignedRepository) -> None:
    repository.rotate_root(signed_by_old=False)

    with pytest.raises(SignatureRefused, match="root metadata are not signed"):
        trust.refresh(_Source(repository), now=START)

    assert trust.check_root(now=START) == 1


def test_a_damaged_copy_on_disk_costs_a_question_and_nothing_else(
    tmp_path: Path, trust: Trust, repository: SignedRepository
) -> None:
    trust.refresh(_Source(repository), now=START)
    (tmp_path / "metadata" / "targets.json").write_bytes(b"")

    targets = trust.refresh(_Source(repository), now=START)

    assert targets.find(DIGITS_1, PI).custom.release == DIGITS_1


def test_a_release_that_nobody_signed_is_unknown(trust: Trust, repository: SignedRepository) -> None:
    targets = trust.refresh(_Source(repository), now=START)

    with pytest.raises(ReleaseUnknown, match="digits@9 is not in the signed metadata"):
        targets.find(parse_release_id("digits@9"), PI)


def test_a_release_for_other_devices_is_a_profile_mismatch(trust: Trust, repository: SignedRepository) -> None:
    targets = trust.refresh(_Source(repository), now=START)

    with pytest.raises(ProfileMismatch, match="made for raspberry-pi-4"):
        targets.find(DIGITS_1, parse_profile_name("coral-dev-board"))


def test_a_path_that_claims_another_profile_than_its_custom_is_refused(
    trust: Trust, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2"), profile="coral-dev-board")
    targets = trust.refresh(_Source(repository), now=START)

    with pytest.raises(ProfileMismatch, match="signed as digits@2 for coral-dev-board"):
        targets.find(parse_release_id("digits@2"), PI)


def test_a_release_for_newer_agents_is_refused(trust: Trust, repository: SignedRepository) -> None:
    repository.publish(an_artifact(version="2", min_agent_version="99.0"))
    targets = trust.refresh(_Source(repository), now=START)

    with pytest.raises(AgentTooOld, match=r"needs agent 99\.0"):
        targets.find(parse_release_id("digits@2"), PI)


def test_a_trust_root_that_is_not_there_is_named(tmp_path: Path, repository: SignedRepository) -> None:
    trust = Trust(tmp_path / "nowhere.json", tmp_path / "metadata", SystemDisk())

    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        trust.refresh(_Source(repository), now=START)


def test_a_trust_root_that_is_no_root_is_named(tmp_path: Path, repository: SignedRepository) -> None:
    (tmp_path / "root.json").write_bytes(repository.files[MetadataName.TARGETS, 1])
    trust = Trust(tmp_path / "root.json", tmp_path / "metadata", SystemDisk())

    with pytest.raises(ConfigError, match="no TUF root that verifies itself"):
        trust.check_root(now=START)
