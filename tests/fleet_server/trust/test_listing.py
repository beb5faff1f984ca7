"""Targets and teams: each signed by enough of its keys, on its own paths, growing, with floors that never fall."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Delegations

from fleet_server.errors import ReleaseRefused
from fleet_server.trust.listing import Listing, read_listing
from tests.fakes.clock import START
from tests.fleet_server.trust.office import MODELS, TOP, Office, an_office
from tests.signing.repositories import an_artifact

DIGITS = "digits/*/*.artifact"


@pytest.fixture
def office() -> Office:
    return an_office()


def listing(office: Office, offered: Mapping[str, str], known: Mapping[str, str] | None = None) -> Listing:
    return read_listing(office.root_metadata[MODELS], offered, known or {}, now=START)


def paths(found: Listing) -> dict[str, str]:
    return {entry.artifact.path: entry.role for entry in found.listed}


def a_team(office: Office, *, threshold: int = 1) -> dict[str, str]:
    """Return the files of an office whose team ``vision`` released digits 1.0.0."""
    office.delegate("vision", DIGITS, threshold=threshold)
    office.put(an_artifact(), role="vision")
    return {TOP: office.sign(), "vision": office.sign("vision")}


def test_top_targets_and_a_team_list_releases_together(office: Office) -> None:
    office.put(an_artifact(model="faces"))

    found = listing(office, a_team(office, threshold=2))

    assert paths(found) == {
        "faces/1.0.0/raspberry-pi-4.artifact": TOP,
        "digits/1.0.0/raspberry-pi-4.artifact": "vision",
    }
    assert sorted(found.fresh) == [TOP, "vision"]


def test_what_is_known_already_is_not_fresh(office: Office) -> None:
    files = a_team(office)

    assert listing(office, files, files).fresh == {}
    assert paths(listing(office, {}, files)) == paths(listing(office, files))


def test_top_targets_below_their_threshold_are_refused(office: Office) -> None:
    with pytest.raises(ReleaseRefused, match="1/2 keys"):
        listing(office, {TOP: office.sign(TOP, office.signers[TOP][0])})


def test_a_team_below_its_threshold_is_refused(office: Office) -> None:
    files = a_team(office, threshold=2)
    files["vision"] = office.sign("vision", office.signers["vision"][0])

    with pytest.raises(ReleaseRefused, match="vision is not signed by enough keys"):
        listing(office, files)


def test_a_team_that_signs_with_one_key_under_two_names_is_refused(office: Office) -> None:
    files = a_team(office, threshold=2)
    signer = office.signers["vision"][0]
    office.files[TOP].add_key(SSlibKey("e" * 64, "ed25519", "ed25519", dict(signer.public_key.keyval)), "vision")

    with pytest.raises(ReleaseRefused, match="targets version 2 could count a key twice"):
        listing(office, files | {TOP: office.sign()})


def test_another_teams_keys_sign_nothing_for_a_team(office: Office) -> None:
    files = a_team(office)
    office.delegate("speech", "words/*/*.artifact")
    files |= {TOP: office.sign(), "vision": office.sign("vision", *office.signers["speech"])}

    with pytest.raises(ReleaseRefused, match="vision is not signed by enough keys"):
        listing(office, files)


def test_a_team_signs_on_its_own_paths_alone(office: Office) -> None:
    a_team(office)
    office.put(an_artifact(model="faces"), role="vision")

    with pytest.raises(ReleaseRefused, match=r"vision may not sign faces/1\.0\.0"):
        listing(office, {TOP: office.sign(), "vision": office.sign("vision")})


def test_of_two_teams_for_one_path_the_first_lists_it(office: Office) -> None:
    office.delegate("vision", DIGITS)
    office.delegate("late", DIGITS)
    office.put(an_artifact(), role="late")

    with pytest.raises(ReleaseRefused, match="the first delegation for it is to vision"):
        listing(office, {TOP: office.sign(), "late": office.sign("late")})


def test_a_path_is_listed_once(office: Office) -> None:
    files = a_team(office)
    office.put(an_artifact())

    with pytest.raises(ReleaseRefused, match="listed by targets and by vision"):
        listing(office, files | {TOP: office.sign()})


def test_a_file_of_nobodys_team_is_refused(office: Office) -> None:
    files = a_team(office)

    with pytest.raises(ReleaseRefused, match="do not delegate to a team 'speech'"):
        listing(office, files | {"speech": files["vision"]})


def test_a_team_delegates_no_further(office: Office) -> None:
    a_team(office)
    office.files["vision"].delegations = Delegations(keys={}, roles={})

    with pytest.raises(ReleaseRefused, match="vision delegates further"):
        listing(office, {TOP: office.sign(), "vision": office.sign("vision")})


@pytest.mark.parametrize(
    ("team", "patterns", "said"),
    [
        ("snapshot", (DIGITS,), "this is no targets metadata"),
        ("../root", (DIGITS,), "no name of a team"),
        ("root", (DIGITS,), "this is no targets metadata"),
        ("2.root", (DIGITS,), "no name of a team"),
        ("vision", (), "with 1 to 64 path patterns"),
        ("vision", ("*",), "has the pattern"),
        ("vision", ("digits/*/*",), "has the pattern"),
        ("vision", ("../*/*.artifact",), "has the pattern"),
        ("vision", (DIGITS,) * 65, "with 1 to 64 path patterns"),
    ],
)
def test_a_delegation_in_another_form_is_refused(
    office: Office, team: str, patterns: tuple[str, ...], said: str
) -> None:
    office.delegate(team, *patterns)

    with pytest.raises(ReleaseRefused, match=said):
        listing(office, {TOP: office.sign()})


def test_a_delegation_that_does_not_end_the_search_is_refused(office: Office) -> None:
    office.delegate("vision", DIGITS, terminating=False)

    with pytest.raises(ReleaseRefused, match="must be terminating"):
        listing(office, {TOP: office.sign()})


@pytest.mark.parametrize("role", [TOP, "vision"])
def test_an_older_file_is_refused(office: Office, role: str) -> None:
    older = a_team(office)
    known = older | {role: office.sign(role)}

    with pytest.raises(ReleaseRefused, match=f"{role} version 1 is not newer than 2"):
        listing(office, {role: older[role]}, known)


@pytest.mark.parametrize("role", [TOP, "vision"])
def test_another_file_of_the_same_version_is_refused(office: Office, role: str) -> None:
    known = a_team(office)
    office.files[role].version = 0
    office.files[role].expires += timedelta(days=1)

    with pytest.raises(ReleaseRefused, match="version 1 is not newer than 1"):
        listing(office, {role: office.sign(role)}, known)


@pytest.mark.parametrize("role", [TOP, "vision"])
def test_an_expired_file_is_refused(office: Office, role: str) -> None:
    known = a_team(office)
    office.files[role].expires = START

    with pytest.raises(ReleaseRefused, match=f"{role} version 2 expired"):
        listing(office, {role: office.sign(role)}, known)


def test_a_teams_news_are_refused_while_top_targets_are_expired(office: Office) -> None:
    office.files[TOP].expires = START
    known = a_team(office)

    with pytest.raises(ReleaseRefused, match="targets version 1 expired"):
        listing(office, {"vision": office.sign("vision")}, known)


def test_a_team_whose_key_was_replaced_lists_nothing_until_it_signs_anew(office: Office) -> None:
    known = a_team(office)
    office.signers["vision"] = replaced(office, "vision")
    top = office.sign()

    meanwhile = listing(office, {TOP: top}, known)
    after = listing(office, {"vision": office.sign("vision")}, known | {TOP: top})

    assert (paths(meanwhile), meanwhile.unsigned) == ({}, frozenset({"vision"}))
    assert (list(paths(after).values()), after.unsigned) == (["vision"], frozenset())


def test_the_old_key_of_a_team_signs_nothing_any_more(office: Office) -> None:
    known, old = a_team(office), office.signers["vision"]
    replaced(office, "vision")

    with pytest.raises(ReleaseRefused, match="vision is not signed by enough keys"):
        listing(office, {TOP: office.sign(), "vision": office.sign("vision", *old)}, known)


def test_what_a_team_listed_is_gone_with_its_delegation(office: Office) -> None:
    known = a_team(office)
    office.files[TOP].delegations = None

    found = listing(office, {TOP: office.sign()}, known)

    assert (paths(found), found.unsigned) == ({}, frozenset())


def test_the_highest_floor_counts(office: Office) -> None:
    office.delegate("vision", DIGITS)
    office.floor(digits=3, faces=2)
    office.floor("vision", digits=5)

    found = listing(office, {TOP: office.sign(), "vision": office.sign("vision")})

    assert found.floors == {"digits": 5, "faces": 2}


@pytest.mark.parametrize("floors", [{}, {"digits": 2}], ids=["left out", "lower"])
def test_a_floor_never_falls(office: Office, floors: dict[str, int]) -> None:
    office.delegate("vision", DIGITS)
    office.floor("vision", digits=3)
    known = {TOP: office.sign(), "vision": office.sign("vision")}
    office.floor("vision", **floors)

    with pytest.raises(ReleaseRefused, match="lowers the floor of digits from 3"):
        listing(office, {"vision": office.sign("vision")}, known)


@pytest.mark.parametrize("pattern", ["faces/*/*.artifact", "digits/1.*/*.artifact"])
def test_a_team_states_no_floor_of_a_model_that_it_may_not_sign(office: Office, pattern: str) -> None:
    office.delegate("vision", pattern)
    office.floor("vision", digits=1)

    with pytest.raises(ReleaseRefused, match="states a floor of digits, which it may not sign"):
        listing(office, {TOP: office.sign(), "vision": office.sign("vision")})


def test_more_teams_than_a_device_reads_are_refused(office: Office) -> None:
    delegate_to_many(office, teams=33)

    with pytest.raises(ReleaseRefused, match="over 32 teams"):
        listing(office, {TOP: office.sign()})


def test_the_first_team_of_a_model_alone_states_its_floor(office: Office) -> None:
    office.delegate("vision", DIGITS)
    office.delegate("late", DIGITS)
    office.floor("late", digits=1)

    with pytest.raises(ReleaseRefused, match="late states a floor of digits"):
        listing(office, {TOP: office.sign(), "late": office.sign("late")})


@pytest.mark.parametrize("floor", ["3", -1, True])
def test_a_floor_is_a_counter(office: Office, floor: object) -> None:
    office.floor(digits=floor)

    with pytest.raises(ReleaseRefused, match="not a counter"):
        listing(office, {TOP: office.sign()})


def delegate_to_many(office: Office, *, teams: int) -> None:
    for place in range(teams):
        office.delegate(f"team-{place}", DIGITS)


def replaced(office: Office, team: str) -> list[CryptoSigner]:
    """Give the team one new key instead of its own."""
    delegations = office.files[TOP].delegations
    assert delegations is not None
    assert delegations.roles is not None
    new = CryptoSigner.generate_ed25519()
    delegations.roles[team].keyids.clear()
    office.files[TOP].add_key(new.public_key, team)
    return [new]
