"""Keys, teams and releases change by agreement: what may, what may not, and what devices make of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Targets

from contracts.ids import ModelName, ReleaseId
from signing.ceremony.changes import change_keys, delegate, renew_roots, revoke_release, withdraw
from signing.ceremony.gathering import propose, sign
from signing.ceremony.overview import overview
from signing.ceremony.pending import waiting
from signing.errors import (
    CeremonyOpen,
    DraftRefused,
    KeyRefused,
    NothingPending,
    ReleaseMissing,
    RepositoryDamaged,
    RoleUnknown,
)
from signing.metadata import floors_of, set_floor
from signing.places import MODELS_ROOT, TARGETS, team_place
from signing.publish import submission_of
from tests.signing.ceremony.device import OnlineRoles, follow, install
from tests.signing.ceremony.people import LIFETIME, Circle, Person, a_circle, a_person, draft
from tests.signing.repositories import NOW, an_artifact, public_half

WELDS = ModelName("welds")


@pytest.fixture
def circle(tmp_path: Path) -> Circle:
    circle = a_circle(tmp_path / "repository")
    draft(circle.repository, an_artifact())
    circle.both_sign()
    return circle


@pytest.fixture
def dora() -> Person:
    return a_person("Dora", "vision")


def with_team(circle: Circle, dora: Person, model: str = "welds") -> None:
    """Let the team vision own the model."""
    delegate(circle.repository, "vision", models=[ModelName(model)], keys=[dora.public("vision")], threshold=1, now=NOW)
    circle.both_sign()


def test_a_teams_release_is_signed_by_its_keys_alone(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    draft(circle.repository, an_artifact(model="welds"))

    (shown,) = dora.looks_at(circle.repository)
    dora.signs(circle.repository)

    verified = circle.repository.verify(NOW)
    assert shown.place == team_place("vision")
    assert [one.id for one in verified.releases] == ["digits@1.0.0", "welds@1.0.0"]
    assert [team.name for team in verified.teams] == ["vision"]


def test_a_device_finds_a_teams_release_through_the_delegation(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    draft(circle.repository, an_artifact(model="welds"))
    dora.signs(circle.repository)
    submission = submission_of(circle.repository, circle.repository.verify(NOW))

    trusted = follow(circle.repository.root_path.read_bytes(), submission, OnlineRoles(online=circle.online), now=NOW)

    digest = circle.repository.releases()[1].artifacts[0].digest
    assert install(trusted, submission.teams, "welds/1.0.0/raspberry-pi-4.artifact") == digest


def test_a_team_cannot_sign_another_models_release(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    stolen = circle.repository.targets().signed.targets
    listing = Metadata(Targets(version=1, expires=NOW + timedelta(days=9), targets=dict(stolen)))
    listing.sign(dora.signers["vision"])
    circle.repository.path(team_place("vision")).write_bytes(listing.to_bytes())

    with pytest.raises(RepositoryDamaged, match="vision speaks of digits, which is a model of targets"):
        circle.repository.verify(NOW)


def test_a_team_cannot_raise_another_models_floor(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    listing = Metadata(Targets(version=1, expires=NOW + timedelta(days=9)))
    set_floor(listing.signed, "digits", 99)
    listing.sign(dora.signers["vision"])
    circle.repository.path(team_place("vision")).write_bytes(listing.to_bytes())

    with pytest.raises(RepositoryDamaged, match="vision speaks of digits"):
        circle.repository.verify(NOW)


def test_releases_of_a_delegated_model_move_to_the_team(circle: Circle, dora: Person) -> None:
    with_team(circle, dora, model="digits")
    between = circle.repository.releases()

    dora.signs(circle.repository)

    assert between == ()
    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]
    assert circle.repository.targets().signed.targets == {}


def test_a_delegation_that_was_taken_back_leaves_nothing_for_the_next(circle: Circle, dora: Person) -> None:
    keys = [dora.public("vision")]
    delegate(circle.repository, "vision", models=[ModelName("digits")], keys=keys, threshold=1, now=NOW)
    withdraw(circle.repository, "targets")
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))
    circle.both_sign()
    revoke_release(circle.repository, ReleaseId("digits@1.0.0"), and_older=False, now=NOW)
    circle.both_sign()

    with_team(circle, dora, model="digits")
    dora.signs(circle.repository)

    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@2.0.0"]


def test_a_model_has_one_team(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)

    with pytest.raises(KeyRefused, match="welds is a model of team vision already"):
        delegate(
            circle.repository,
            "metal",
            models=[WELDS],
            keys=[a_person("E", "metal").public("metal")],
            threshold=1,
            now=NOW,
        )


def test_a_revoked_teams_key_signs_nothing_that_devices_take(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    draft(circle.repository, an_artifact(model="welds"))
    dora.signs(circle.repository)
    first, online = circle.repository.root_path.read_bytes(), OnlineRoles(online=circle.online)
    before = submission_of(circle.repository, circle.repository.verify(NOW))
    follow(first, before, online, now=NOW)
    emil = a_person("Emil", "vision")

    change_keys(circle.repository, "vision", add=[emil.public("vision")], remove=["Dora"], now=NOW)
    circle.both_sign()
    meanwhile = submission_of(circle.repository, circle.repository.verify(NOW))
    trusted = follow(first, meanwhile, online, now=NOW)
    with pytest.raises(UnsignedMetadataError):
        install(trusted, before.teams, "welds/1.0.0/raspberry-pi-4.artifact")
    emil.signs(circle.repository)
    after = submission_of(circle.repository, circle.repository.verify(NOW))

    assert meanwhile.teams == {}
    assert install(follow(first, after, online, now=NOW), after.teams, "welds/1.0.0/raspberry-pi-4.artifact")


def test_a_listing_that_a_thief_numbered_up_is_overtaken(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    draft(circle.repository, an_artifact(model="welds"))

    proposals = propose(circle.repository, set(dora.by_keyid), now=NOW, lifetime=LIFETIME, above=2**31)
    sign(circle.repository, proposals, dora.by_keyid)

    assert [team.version for team in circle.repository.verify(NOW).teams] == [2**31 + 1]


@pytest.mark.parametrize(("role", "match"), [("root", "ana"), ("nobody", "no role 'nobody'"), ("snapshot", "no role")])
def test_keys_and_roles_that_are_not_there_are_named(circle: Circle, role: str, match: str) -> None:
    with pytest.raises((KeyRefused, RoleUnknown), match=match):
        change_keys(circle.repository, role, remove=["ana"], now=NOW)


def test_a_key_stands_in_one_role(circle: Circle) -> None:
    with pytest.raises(KeyRefused, match="is for root and for director-root"):
        change_keys(circle.repository, "director-root", add=[circle.ana.public("root")], now=NOW)


def test_a_threshold_that_the_keys_cannot_meet_is_refused(circle: Circle) -> None:
    with pytest.raises(KeyRefused, match="2 of 1 keys cannot be"):
        change_keys(circle.repository, "root", remove=["Ben", "Cara"], now=NOW)

    assert waiting(circle.repository) == ()


def test_the_server_has_one_key_of_each_role(circle: Circle) -> None:
    with pytest.raises(KeyRefused, match="keys rotate online"):
        change_keys(circle.repository, "online", add=[a_person("S", "x").public("x")], now=NOW)


def test_the_servers_key_is_replaced_by_root(circle: Circle) -> None:
    first, successor = circle.repository.root_path.read_bytes(), a_person("server", "online")
    old = public_half(circle.online).keyid

    change_keys(circle.repository, "online", add=[successor.public("online")], remove=[old], now=NOW)
    circle.both_sign()

    submission = submission_of(circle.repository, circle.repository.verify(NOW))
    online = OnlineRoles(online=successor.signers["online"])
    assert follow(first, submission, online, now=NOW).targets.version == 1
    with pytest.raises(UnsignedMetadataError):
        follow(first, submission, OnlineRoles(online=circle.online), now=NOW)


def test_nothing_changes_under_a_signature(circle: Circle) -> None:
    change_keys(circle.repository, "root", add=[a_person("Dora").public("root")], now=NOW)
    circle.ana.signs(circle.repository)

    with pytest.raises(CeremonyOpen, match="release withdraw root"):
        change_keys(circle.repository, "root", remove=["Ben"], now=NOW)


def test_changes_gather_until_somebody_signs(circle: Circle) -> None:
    change_keys(circle.repository, "root", add=[a_person("Dora").public("root")], now=NOW)
    change_keys(circle.repository, "targets", remove=["Cara"], now=NOW)

    circle.both_sign()

    counts = {view.role: len(view.keys) for view in overview(circle.repository).roles}
    assert (counts["root"], counts["targets"]) == (4, 2)
    assert circle.repository.verify(NOW).root_version == 2


def test_what_waits_is_taken_back_and_its_drafts_are_drafts_again(circle: Circle) -> None:
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))
    circle.ana.signs(circle.repository)

    withdraw(circle.repository, "targets")

    assert waiting(circle.repository) == ()
    assert [one.custom.release for one in circle.repository.drafted()] == ["digits@2.0.0"]
    with pytest.raises(NothingPending):
        withdraw(circle.repository, "targets")


def test_a_listing_whose_keys_were_replaced_cannot_be_taken_back(circle: Circle, dora: Person) -> None:
    with_team(circle, dora, model="digits")
    dora.signs(circle.repository)
    emil = a_person("Emil", "vision")
    change_keys(circle.repository, "vision", add=[emil.public("vision")], remove=["Dora"], now=NOW)
    circle.both_sign()

    with pytest.raises(CeremonyOpen, match="has to be signed"):
        withdraw(circle.repository, "vision")


def test_a_revoked_release_leaves_the_listing(circle: Circle) -> None:
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))
    circle.both_sign()

    revoke_release(circle.repository, ReleaseId("digits@2.0.0"), and_older=False, now=NOW)
    circle.both_sign()

    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]
    assert circle.repository.verify(NOW).floors == {}


def test_and_older_raises_the_floor_for_good(circle: Circle) -> None:
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))
    draft(circle.repository, an_artifact(version="3.0.0", counter=3))
    circle.both_sign()

    revoke_release(circle.repository, ReleaseId("digits@2.0.0"), and_older=True, now=NOW)
    circle.both_sign()

    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@3.0.0"]
    assert floors_of(circle.repository.targets().signed) == {"digits": 3}
    with pytest.raises(DraftRefused, match=r"floor of 3.*counter 3 or more"):
        draft(circle.repository, an_artifact(version="1.5.0", counter=2))


def test_a_floor_moves_to_the_team_with_the_model(circle: Circle, dora: Person) -> None:
    revoke_release(circle.repository, ReleaseId("digits@1.0.0"), and_older=True, now=NOW)
    circle.both_sign()

    with_team(circle, dora, model="digits")
    dora.signs(circle.repository)

    assert circle.repository.verify(NOW).floors == {"digits": 2}
    assert floors_of(circle.repository.targets().signed) == {}


def test_a_release_that_is_not_there_is_not_revoked(circle: Circle) -> None:
    with pytest.raises(ReleaseMissing, match=r"lists digits@1\.0\.0"):
        revoke_release(circle.repository, ReleaseId("digits@9.0.0"), and_older=False, now=NOW)


def test_expired_roots_are_renewed_by_the_same_keys(circle: Circle) -> None:
    later = NOW + timedelta(days=400)

    renew_roots(circle.repository, now=later)
    circle.both_sign(renew=True, now=later)

    verified = circle.repository.verify(later)
    assert (verified.root_version, verified.director_root_version, verified.targets_version) == (2, 2, 2)


def test_the_overview_says_who_holds_what_and_what_waits(circle: Circle, dora: Person) -> None:
    delegate(circle.repository, "vision", models=[WELDS], keys=[dora.public("vision")], threshold=1, now=NOW)

    view = overview(circle.repository)

    by_role = {role.role: role for role in view.roles}
    assert [key.holder for key in by_role["root"].keys] == ["Ana", "Ben", "Cara"]
    assert (by_role["vision"].in_force, by_role["vision"].models) == (False, ("welds",))
    assert [one.place for one in view.waiting] == [TARGETS]


def test_a_holder_that_no_terminal_could_show_is_left_out(circle: Circle) -> None:
    disguised = replace(a_person("x").public("root"), holder="\x1b[2Jroot")

    change_keys(circle.repository, "root", add=[disguised], now=NOW)

    pending = overview(circle.repository).waiting[0]
    assert [key.holder for key in pending.needs[1].open if key.keyid == disguised.keyid] == [""]
    assert pending.place == MODELS_ROOT


def test_a_floor_that_moved_to_a_team_is_not_withdrawn_with_its_listing(circle: Circle, dora: Person) -> None:
    revoke_release(circle.repository, ReleaseId("digits@1.0.0"), and_older=True, now=NOW)
    circle.both_sign()
    with_team(circle, dora, model="digits")

    with pytest.raises(CeremonyOpen, match="holds the floor of digits, counter 2, which moved there"):
        withdraw(circle.repository, "vision")

    dora.signs(circle.repository)
    assert circle.repository.verify(NOW).floors == {"digits": 2}


def test_a_floor_that_a_team_only_means_to_raise_is_withdrawn(circle: Circle, dora: Person) -> None:
    with_team(circle, dora, model="digits")
    dora.signs(circle.repository)
    revoke_release(circle.repository, ReleaseId("digits@1.0.0"), and_older=True, now=NOW)

    withdraw(circle.repository, "vision")

    assert circle.repository.floors() == {}
    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]
