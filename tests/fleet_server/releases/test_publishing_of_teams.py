"""What an office of several people publishes: teams, thresholds, revocations, floors, roots of both repositories."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from contracts.metadata import MetadataName
from fleet_server.releases.store import DIRECTOR_ROOT
from fleet_server.trust.keys import KeyName, add_key
from tests.fleet_server.releases.offices import barred, document, publish, release, submit, trusted_office
from tests.fleet_server.server import SmallServer, a_release
from tests.fleet_server.trust.office import DIRECTOR, MODELS, TOP, Office

DIGITS = "digits/*/*.artifact"


@pytest.fixture
def office(small_server: SmallServer) -> Office:
    return trusted_office(small_server)


def refusal(server: SmallServer, **parts: object) -> str:
    answer = submit(server, **parts)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "release_refused"), answer.text
    message: str = answer.json()["error"]["message"]
    return message


def verified(server: SmallServer, office: Office) -> TrustedMetadataSet:
    """Return the published metadata as TUF's own rules accept them."""
    trusted = TrustedMetadataSet(office.roots[MODELS].encode(), EnvelopeType.METADATA)
    trusted.reference_time = server.clock.now()
    for name in (MetadataName.TIMESTAMP, MetadataName.SNAPSHOT, MetadataName.TARGETS):
        getattr(trusted, f"update_{name}")(document(server, name).encode())
    return trusted


def test_a_teams_release_is_what_tufs_own_rules_accept(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", DIGITS, threshold=2)
    path = release(small_server, office, a_release(), role="vision")

    team = verified(small_server, office).update_delegated_targets(
        document(small_server, "targets/vision").encode(), "vision", TOP
    )

    assert list(team.targets) == [path]
    assert barred(small_server) == {"digits@1.0.0": ""}


def test_a_team_publishes_without_top_targets(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", DIGITS)
    publish(small_server, office, "vision")
    data = a_release()
    small_server.upload(data)
    office.put(data, role="vision")

    answer = submit(small_server, teams={"vision": office.sign("vision")})

    assert [view["id"] for view in answer.json()] == ["digits@1.0.0"]


def test_what_leaves_the_listing_is_revoked_for_good(small_server: SmallServer, office: Office) -> None:
    data = a_release()
    path = release(small_server, office, data)
    office.unlist(path)

    (revoked,) = publish(small_server, office)
    office.put(data)

    assert revoked["id"] == "digits@1.0.0"
    assert "revoked at 2026-11-20" in str(revoked["barred"])
    assert "was revoked, and that is for good" in refusal(small_server, targets=office.sign())


def test_a_release_comes_back_under_no_other_profile_either(small_server: SmallServer, office: Office) -> None:
    office.unlist(release(small_server, office, a_release()))
    publish(small_server, office)
    other = a_release(profile="jetson-nano")
    small_server.upload(other)
    office.put(other)

    assert "digits@1.0.0 was revoked" in refusal(small_server, targets=office.sign())


def test_what_is_below_the_floor_is_barred_and_stays_listed(small_server: SmallServer, office: Office) -> None:
    release(small_server, office, a_release())
    release(small_server, office, a_release(version="2.0.0", counter=2))
    office.floor(digits=2)

    publish(small_server, office)

    assert barred(small_server) == {
        "digits@1.0.0": "its counter 1 is below 2, the security floor of digits",
        "digits@2.0.0": "",
    }


def test_a_floor_outlives_the_team_that_stated_it(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", DIGITS)
    data = a_release()
    path = release(small_server, office, data, role="vision")
    office.floor("vision", digits=2)
    publish(small_server, office, "vision")
    office.files[TOP].delegations = None
    office.put(data)

    publish(small_server, office)

    assert path in verified(small_server, office).targets.targets
    assert "below 2" in barred(small_server)["digits@1.0.0"]


def test_a_floor_that_would_bar_a_model_for_ever_is_refused(small_server: SmallServer, office: Office) -> None:
    release(small_server, office, a_release())
    office.floor(digits=3)

    assert "the floor of digits is 3, its newest release has counter 1" in refusal(small_server, targets=office.sign())


def test_a_team_that_is_gone_stays_in_the_snapshot_and_its_releases_are_revoked(
    small_server: SmallServer, office: Office
) -> None:
    office.delegate("vision", DIGITS)
    release(small_server, office, a_release(), role="vision")
    office.files[TOP].delegations = None

    publish(small_server, office)

    assert sorted(verified(small_server, office).snapshot.meta) == ["targets.json", "vision.json"]
    assert "revoked" in barred(small_server)["digits@1.0.0"]


def test_a_team_whose_key_was_replaced_is_back_once_it_signed_anew(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", DIGITS)
    release(small_server, office, a_release(), role="vision")
    listed = office.files["vision"]
    office.delegate("vision", DIGITS)
    office.files["vision"] = listed

    publish(small_server, office)
    meanwhile = barred(small_server)["digits@1.0.0"]
    publish(small_server, office, "vision")

    assert meanwhile == "its team has to sign its metadata anew"
    assert barred(small_server) == {"digits@1.0.0": ""}


def test_what_a_replaced_key_did_not_sign_again_is_revoked(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", DIGITS)
    path = release(small_server, office, a_release(), role="vision")
    office.delegate("vision", DIGITS)
    publish(small_server, office)
    office.unlist(path, role="vision")

    publish(small_server, office, "vision")

    assert "revoked" in barred(small_server)["digits@1.0.0"]


def test_a_published_target_changes_only_who_may_run_it(small_server: SmallServer, office: Office) -> None:
    data = a_release()
    release(small_server, office, data)
    office.put(data, min_agent_version="9.0")
    accepted = submit(small_server, targets=office.sign())
    office.put(data, index_length=1)

    assert accepted.status_code == 200
    assert "published with another custom field" in refusal(small_server, targets=office.sign())


def test_a_release_has_one_counter_on_every_profile(small_server: SmallServer, office: Office) -> None:
    release(small_server, office, a_release(counter=3))
    other = a_release(counter=4, profile="jetson-nano")
    small_server.upload(other)
    office.put(other)

    assert "counter 4, and 3 for another profile" in refusal(small_server, targets=office.sign())


def test_roots_of_both_repositories_come_several_at_once(small_server: SmallServer, office: Office) -> None:
    roots, director_roots = [office.next_root(MODELS) for _ in range(2)], [office.next_root(DIRECTOR)]

    answer = submit(small_server, roots=roots, director_roots=director_roots, targets=office.sign())

    assert answer.status_code == 200, answer.text
    assert [document(small_server, "root", version) for version in (2, 3)] == roots
    assert document(small_server, DIRECTOR_ROOT) == director_roots[0]


def test_a_directors_root_that_does_not_verify_keeps_all_of_it_out(small_server: SmallServer, office: Office) -> None:
    root = office.next_root(MODELS)
    office.root_metadata[DIRECTOR].version = 2
    forged = office.sign_root(DIRECTOR, CryptoSigner.generate_ed25519())

    said = refusal(small_server, roots=[root], director_roots=[forged], targets=office.sign())

    assert "root version 2 is not signed by version 1" in said
    assert document(small_server, "root", 2) == ""


def test_while_the_directors_root_is_expired_a_release_can_be_revoked(
    small_server: SmallServer, office: Office
) -> None:
    path = release(small_server, office, a_release())
    for signed in (office.root_metadata[MODELS], office.files[TOP]):
        signed.expires += timedelta(days=400)
    root, expired = office.next_root(MODELS), office.next_root(DIRECTOR)
    small_server.clock.pass_s(timedelta(days=366).total_seconds())
    office.unlist(path)

    said = refusal(small_server, roots=[root], director_roots=[expired], targets=office.sign())
    (revoked,) = submit(small_server, roots=[root], targets=office.sign()).json()

    assert "director root version 2 expired" in said
    assert "revoked" in revoked["barred"]


def test_a_new_online_key_signs_as_soon_as_a_root_names_it(small_server: SmallServer, office: Office) -> None:
    data_dir: Path = small_server.config.data_dir
    key = add_key(data_dir, KeyName.ONLINE)[0].public
    office.name_server_key(MODELS, key)

    answer = submit(small_server, roots=[office.next_root(MODELS)], targets=office.sign())

    assert answer.status_code == 200, answer.text
    assert verified(small_server, office).timestamp.version > 1


def test_a_name_too_many_in_a_submission_is_refused(small_server: SmallServer, office: Office) -> None:
    answer = submit(small_server, targets=office.sign(), extra="x")

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bytes_differ")


def test_bytes_of_a_teams_release_are_checked_as_any(small_server: SmallServer, office: Office) -> None:
    office.delegate("vision", DIGITS)
    data = a_release()
    office.put(data, role="vision")

    answer = submit(small_server, targets=office.sign(), teams={"vision": office.sign("vision")})

    assert answer.json()["error"]["code"] == "bytes_missing"
    assert barred(small_server) == {}


def test_a_release_whose_model_went_to_a_team_waits_for_the_team_and_is_not_revoked(
    small_server: SmallServer, office: Office
) -> None:
    data = a_release()
    path = release(small_server, office, data)
    office.unlist(path)
    office.delegate("vision", DIGITS)
    office.put(data, role="vision")

    publish(small_server, office)
    meanwhile = barred(small_server)["digits@1.0.0"]
    publish(small_server, office, "vision")

    assert meanwhile == "its team has to sign its metadata anew"
    assert barred(small_server) == {"digits@1.0.0": ""}


def test_a_floor_goes_with_its_model_to_a_team_that_signs_in_the_same_breath(
    small_server: SmallServer, office: Office
) -> None:
    data = a_release()
    path = release(small_server, office, data)
    office.floor(digits=1)
    publish(small_server, office)
    office.unlist(path)
    office.files[TOP].unrecognized_fields.clear()
    office.delegate("vision", DIGITS)
    office.put(data, role="vision")
    office.floor("vision", digits=1)

    alone = refusal(small_server, targets=office.sign())
    publish(small_server, office, "vision")

    assert "lowers the floor of digits from 1" in alone
    assert barred(small_server) == {"digits@1.0.0": ""}


def test_two_releases_of_a_model_in_one_submission_have_a_counter_each(
    small_server: SmallServer, office: Office
) -> None:
    first, second = a_release(), a_release(version="2.0.0")
    small_server.upload(first)
    small_server.upload(second)
    office.put(first)
    office.put(second)

    assert "counter 1 is that of digits@1.0.0" in refusal(small_server, targets=office.sign())
