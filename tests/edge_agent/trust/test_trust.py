"""From an offered release to a pinned plan, asked of both repositories directly (attacks: ``tests/attacks``)."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from contracts.ids import DEFAULT_TENANT, digest_of, parse_device_id, parse_release_id
from contracts.metadata import MetadataRequest, RepositoryName
from edge_agent.disk import SystemDisk
from edge_agent.errors import ConfigError, MetadataMissing
from edge_agent.trust.decision import Subject
from edge_agent.trust.errors import (
    AssignmentRefused,
    BelowFloor,
    MemoryDamaged,
    MetadataMalformed,
    ProfileMismatch,
    ReleaseUnknown,
    RuntimeMissing,
    TimeUnanswered,
    TooManyRotations,
)
from edge_agent.trust.memory import COPIES
from edge_agent.trust.standing import read_standing
from edge_agent.trust.trust import Trust, TrustPlaces
from tests.fakes.clock import START
from tests.fakes.device import an_artifact
from tests.fakes.repository import PI, SignedRepository

DIGITS_1, DIGITS_2 = parse_release_id("digits@1"), parse_release_id("digits@2")
KEY = bytes(32)
ALL_THAT_IS_ASKED_AGAIN = [
    (RepositoryName.DIRECTOR, "root", 2),
    (RepositoryName.DIRECTOR, "timestamp", 0),
    (RepositoryName.MODELS, "root", 2),
    (RepositoryName.MODELS, "timestamp", 0),
]


class _Source:
    """The repositories' files, asked for directly."""

    def __init__(self, repository: SignedRepository) -> None:
        self._repository = repository
        self.asked: list[tuple[RepositoryName, str, int]] = []

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        self.asked.append((asked.repository, asked.team or asked.name, asked.version))
        data = self._repository.answer(asked)
        if not 0 < len(data) <= limit_bytes:
            raise MetadataMissing(f"no {asked.name} {asked.version}")
        return data


@pytest.fixture
def repository() -> SignedRepository:
    repository = SignedRepository()
    repository.publish(an_artifact(version="1", counter=1))
    repository.assign("digits@1")
    return repository


@pytest.fixture
def places(tmp_path: Path, repository: SignedRepository) -> TrustPlaces:
    (tmp_path / "root.json").write_bytes(repository.root)
    (tmp_path / "director-root.json").write_bytes(repository.director.root)
    return TrustPlaces(
        models_root=tmp_path / "root.json", director_root=tmp_path / "director-root.json", folder=tmp_path / "metadata"
    )


@pytest.fixture
def trust(places: TrustPlaces) -> Trust:
    subject = Subject(tenant=DEFAULT_TENANT, device=parse_device_id("pi-1"), profile=PI, runtimes=frozenset({"tflite"}))
    return Trust(places, subject, SystemDisk(), key=KEY, nonces=lambda: secrets.token_bytes(16))


def test_what_both_name_is_pinned(trust: Trust, repository: SignedRepository) -> None:
    artifact = trust.plan(_Source(repository), DIGITS_1)

    assert artifact.path == "digits/1/raspberry-pi-4.artifact"
    assert artifact.custom.release == DIGITS_1
    assert (artifact.digest, artifact.length) == (digest_of(an_artifact(version="1")), len(an_artifact(version="1")))


def test_nothing_is_asked_for_twice_but_the_timestamps_and_the_next_roots(
    trust: Trust, repository: SignedRepository
) -> None:
    trust.plan(_Source(repository), DIGITS_1)
    source = _Source(repository)

    trust.plan(source, DIGITS_1)

    assert source.asked == ALL_THAT_IS_ASKED_AGAIN


def test_each_refresh_asks_with_a_nonce_of_its_own(trust: Trust, repository: SignedRepository) -> None:
    trust.plan(_Source(repository), DIGITS_1)
    trust.plan(_Source(repository), DIGITS_1)

    nonces = [question.nonce for question in repository.asked if question.nonce]

    assert len(set(nonces)) == 2
    assert {len(nonce) for nonce in nonces} == {16}


def test_a_teams_release_is_found_with_its_own_keys(trust: Trust, repository: SignedRepository) -> None:
    repository.delegate("line-3", "digits/*/*.artifact", keys=3, threshold=2)
    repository.publish(an_artifact(version="2", counter=2), team="line-3")
    repository.assign("digits@2")

    assert trust.plan(_Source(repository), DIGITS_2).custom.counter == 2


def test_only_the_team_whose_models_they_are_is_asked(trust: Trust, repository: SignedRepository) -> None:
    repository.delegate("line-3", "digits/*/*.artifact")
    repository.delegate("line-4", "faces/*/*.artifact")
    repository.publish(an_artifact(version="2", counter=2), team="line-3")
    repository.assign("digits@2")
    source = _Source(repository)

    trust.plan(source, DIGITS_2)

    assert (RepositoryName.MODELS, "line-3", repository.newest("line-3")) in source.asked
    assert "line-4" not in {role for _, role, _ in source.asked}


def test_a_revoked_team_releases_nothing_any_more(trust: Trust, repository: SignedRepository) -> None:
    repository.delegate("line-3", "digits/*/*.artifact")
    repository.publish(an_artifact(version="2", counter=2), team="line-3")
    repository.assign("digits@2")
    trust.plan(_Source(repository), DIGITS_2)
    repository.revoke("line-3")

    with pytest.raises(ReleaseUnknown):
        trust.plan(_Source(repository), DIGITS_2)


def test_a_team_may_raise_the_floor_of_its_own_models(trust: Trust, repository: SignedRepository) -> None:
    repository.delegate("line-3", "digits/*/*.artifact")
    repository.publish(an_artifact(version="2", counter=2), team="line-3")
    repository.raise_floor("digits", 3, team="line-3")
    repository.assign("digits@2")

    with pytest.raises(BelowFloor, match="release counter 2, below the security floor of 3"):
        trust.plan(_Source(repository), DIGITS_2)

    assert trust.floors() == {"digits": 3}


@pytest.mark.parametrize("floors", [[], {"digits": "3"}, {"digits": -1}, {"../x": 3}, {f"m{n}": 1 for n in range(300)}])
def test_floors_that_are_no_counters_are_refused(floors: object, trust: Trust, repository: SignedRepository) -> None:
    repository.targets["targets"].unrecognized_fields["floors"] = floors
    repository.sign()

    with pytest.raises(MetadataMalformed):
        trust.plan(_Source(repository), DIGITS_1)


def test_a_path_that_claims_another_profile_than_its_custom_is_refused(
    trust: Trust, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2), profile="coral-dev-board")
    repository.assign("digits@2")

    with pytest.raises(ProfileMismatch, match="signed as digits@2 for coral-dev-board"):
        trust.plan(_Source(repository), DIGITS_2)


def test_a_release_signed_before_runtimes_were_stated_is_signed_again(
    trust: Trust, repository: SignedRepository
) -> None:
    repository.publish(an_artifact(version="2", counter=2), runtime="")
    repository.assign("digits@2")

    with pytest.raises(RuntimeMissing, match="sign it again"):
        trust.plan(_Source(repository), DIGITS_2)


def test_an_entry_without_a_custom_field_is_refused(trust: Trust, repository: SignedRepository) -> None:
    path = "digits/1/raspberry-pi-4.artifact"
    repository.targets["targets"].targets[path].unrecognized_fields.clear()
    repository.sign()
    repository.assign("digits@1")

    with pytest.raises(ReleaseUnknown, match="cannot be read"):
        trust.plan(_Source(repository), DIGITS_1)


def test_a_director_that_names_no_device_is_refused(trust: Trust, repository: SignedRepository) -> None:
    repository.director.rewrite("targets", lambda targets: targets.unrecognized_fields.clear())

    with pytest.raises(AssignmentRefused, match="'assignment' is missing"):
        trust.plan(_Source(repository), DIGITS_1)


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59+00:00", "1969-01-01T00:00:00+00:00", "soon", 7])
def test_a_time_of_no_world_is_refused(at: object, trust: Trust, repository: SignedRepository) -> None:
    nonces = iter([bytes(16)])
    trust._nonces = lambda: next(nonces)
    answer = repository.director.sign_timestamp(bytes(16), at=at)
    repository.instead[RepositoryName.DIRECTOR, "timestamp"] = answer

    with pytest.raises(TimeUnanswered):
        trust.plan(_Source(repository), DIGITS_1)


def test_more_roots_than_a_device_follows_at_once_are_followed_in_turns(
    trust: Trust, repository: SignedRepository
) -> None:
    for _ in range(65):
        repository.rotate_root()

    with pytest.raises(TooManyRotations, match="goes on from there"):
        trust.plan(_Source(repository), DIGITS_1)

    assert trust.plan(_Source(repository), DIGITS_1).custom.release == DIGITS_1


@pytest.mark.parametrize("damaged", ["models/timestamp.json", "models/targets.json", "director/snapshot.json"])
def test_a_damaged_copy_on_disk_costs_a_question_and_nothing_else(
    damaged: str, trust: Trust, places: TrustPlaces, repository: SignedRepository
) -> None:
    trust.plan(_Source(repository), DIGITS_1)
    (places.folder / damaged).write_bytes(b"rot")

    assert trust.plan(_Source(repository), DIGITS_1).custom.release == DIGITS_1


def test_a_device_whose_memory_is_gone_installs_nothing(
    trust: Trust, places: TrustPlaces, repository: SignedRepository
) -> None:
    trust.plan(_Source(repository), DIGITS_1)
    for copy in COPIES:
        (places.folder / copy).unlink()
    source = _Source(repository)

    with pytest.raises(MemoryDamaged):
        trust.plan(source, DIGITS_1)

    assert source.asked == []
    assert "damaged" in read_standing(places, KEY).problem


def test_the_standing_shows_what_is_believed(trust: Trust, places: TrustPlaces, repository: SignedRepository) -> None:
    repository.rotate_root()
    repository.raise_floor("digits", 1)
    trust.plan(_Source(repository), DIGITS_1)

    standing = read_standing(places, KEY)

    assert (standing.models_root, standing.director_root) == (2, 1)
    assert standing.director_version == repository.director.newest("targets")
    assert (standing.floors, standing.last_trusted_time, standing.problem) == ({"digits": 1}, START, "")


def test_a_device_that_has_heard_nothing_yet_stands_on_its_first_roots(places: TrustPlaces) -> None:
    standing = read_standing(places, KEY)

    assert (standing.models_root, standing.director_root, standing.director_version) == (1, 1, 0)
    assert (standing.floors, standing.last_trusted_time) == ({}, None)
    assert not places.folder.exists()


@pytest.mark.parametrize(("key", "file"), [("trust_root", "root.json"), ("director_root", "director-root.json")])
@pytest.mark.parametrize("data", [b"{}", b"[" * 10, b""])
def test_a_root_that_cannot_be_used_is_named_with_its_key(
    key: str, file: str, data: bytes, places: TrustPlaces, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(data)

    with pytest.raises(ConfigError, match=f"{key} .*{file} is no TUF root"):
        places.check_roots(SystemDisk())


def test_a_root_that_is_not_there_is_named_with_its_key(places: TrustPlaces) -> None:
    places.director_root.unlink()

    with pytest.raises(ConfigError, match=r"cannot read director_root .*director-root\.json"):
        places.check_roots(SystemDisk())


def test_targets_are_no_root(places: TrustPlaces, repository: SignedRepository, tmp_path: Path) -> None:
    (tmp_path / "root.json").write_bytes(repository.files["targets", 1])

    with pytest.raises(ConfigError, match="no TUF root that verifies itself"):
        places.check_roots(SystemDisk())
