"""Signatures gather: two of three, never one twice, always over the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.exceptions import UnsignedMetadataError

from signing.ceremony.changes import change_keys
from signing.ceremony.gathering import settle
from signing.ceremony.pending import waiting
from signing.errors import NothingDrafted, NothingSigned, RepositoryDamaged, SigningError, WrongKey
from signing.places import DIRECTOR_ROOT, MODELS_ROOT, TARGETS
from signing.publish import submission_of
from signing.repository import Repository
from tests.signing.ceremony.device import OnlineRoles, follow
from tests.signing.ceremony.people import Circle, a_circle, a_person, draft, signature_of, tamper
from tests.signing.repositories import NOW, an_artifact


@pytest.fixture
def circle(tmp_path: Path) -> Circle:
    return a_circle(tmp_path / "repository")


def test_one_of_two_signatures_puts_nothing_into_force(circle: Circle) -> None:
    draft(circle.repository, an_artifact())

    circle.ana.signs(circle.repository)

    assert circle.repository.releases() == ()
    assert [(one.place, one.needs[0].missing) for one in waiting(circle.repository)] == [(TARGETS, 1)]
    with pytest.raises(NothingSigned):
        circle.repository.verify(NOW)


def test_any_two_of_three_signatures_put_a_release_into_force(circle: Circle) -> None:
    draft(circle.repository, an_artifact())

    circle.cara.signs(circle.repository)
    circle.ana.signs(circle.repository)

    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]
    assert circle.repository.targets().signatures.keys() == {
        circle.ana.public("targets").keyid,
        circle.cara.public("targets").keyid,
    }


def test_the_same_key_never_counts_twice(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)

    with pytest.raises(NothingDrafted, match=r"signed targets already; it waits for Ben .*, Cara"):
        circle.ana.signs(circle.repository)

    assert circle.repository.releases() == ()


def test_a_signature_under_two_keyids_is_refused(circle: Circle) -> None:
    change_keys(circle.repository, "targets", remove=["Cara"], now=NOW)
    path = circle.repository.pending_path(MODELS_ROOT)
    plain = json.loads(path.read_text())
    ana = circle.ana.public("targets").keyid
    plain["signed"]["keys"]["0" * 64] = plain["signed"]["keys"][ana]
    plain["signed"]["roles"]["targets"]["keyids"].append("0" * 64)
    path.write_text(json.dumps(plain, separators=(",", ":"), sort_keys=True))

    with pytest.raises(RepositoryDamaged, match=r"keyid 0000000000000000 is not that of the key"):
        circle.ana.signs(circle.repository)


def test_the_second_signs_the_very_bytes_that_the_first_signed(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    closed = circle.repository.pending(TARGETS)
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))

    (shown,) = circle.ben.looks_at(circle.repository)

    assert closed is not None
    assert shown.metadata.signed_bytes == closed.signed_bytes
    assert [one.path for one in circle.repository.drafted()] == ["digits/2.0.0/raspberry-pi-4.artifact"]


def test_what_is_drafted_between_two_signatures_waits_for_the_next_version(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))

    circle.ben.signs(circle.repository)
    first = [one.id for one in circle.repository.releases()]
    circle.both_sign()

    assert first == ["digits@1.0.0"]
    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0", "digits@2.0.0"]


def test_a_digest_changed_after_one_signature_is_refused_by_the_second(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    digest = circle.repository.listed()[0].digest
    tamper(circle.repository.pending_path(TARGETS), digest, "0" * 64)

    with pytest.raises(RepositoryDamaged, match=r"pending/models/targets.json: the signature of Ana .* changed after"):
        circle.ben.signs(circle.repository)


def test_a_signature_that_was_replaced_is_refused_by_name(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.both_sign()
    other = signature_of(circle.repository.targets_path, circle.ana, "targets")
    tamper(circle.repository.targets_path, signature_of(circle.repository.targets_path, circle.ben, "targets"), other)

    with pytest.raises(RepositoryDamaged, match=r"targets\.json.*1 of 2 signatures of targets hold"):
        circle.repository.verify(NOW)


def test_one_bad_signature_beside_enough_good_ones_is_refused_by_name(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.both_sign()
    metadata = circle.repository.targets()
    metadata.sign(circle.cara.signers["targets"], append=True)
    metadata.signatures[circle.cara.public("targets").keyid].signature = "ab" * 64
    circle.repository.targets_path.write_bytes(metadata.to_bytes())

    with pytest.raises(RepositoryDamaged, match="the signature of Cara"):
        circle.repository.verify(NOW)


@pytest.fixture(scope="module")
def half_signed(tmp_path_factory: pytest.TempPathFactory) -> Circle:
    circle = a_circle(tmp_path_factory.mktemp("half") / "repository")
    draft(circle.repository, an_artifact())
    circle.both_sign()
    change_keys(circle.repository, "root", add=[a_person("Dora").public("root")], now=NOW)
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))
    circle.ana.signs(circle.repository)
    return circle


@pytest.mark.slow
@given(data=st.data())
def test_any_byte_changed_after_one_signature_is_refused(half_signed: Circle, data: st.DataObject) -> None:
    path = half_signed.repository.pending_path(data.draw(st.sampled_from([MODELS_ROOT, TARGETS]), label="place"))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1), label="byte")
    change = data.draw(st.integers(1, 255), label="change")

    path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
    try:
        with pytest.raises(SigningError):
            half_signed.ben.looks_at(half_signed.repository)
        with pytest.raises(SigningError):
            half_signed.repository.verify(NOW)
    finally:
        path.write_bytes(whole)


def test_a_draft_changed_between_two_signers_changes_nothing(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    circle.repository.draft_path.write_text('{"artifacts": [], "schema": 1}')

    circle.ben.signs(circle.repository)

    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]


def test_keys_that_nothing_names_sign_nothing(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)

    with pytest.raises(WrongKey, match="keys show"):
        a_person("Mallory").signs(circle.repository)


def test_a_rotation_waits_while_releases_go_on(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.both_sign()
    newcomer = a_person("Dora")
    change_keys(circle.repository, "root", add=[newcomer.public("root")], remove=["Cara"], now=NOW)
    newcomer.signs(circle.repository)
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))

    targets_only = a_person("Ana")  # Ana's targets key alone: her root key is in a safe
    targets_only = type(targets_only)(name="Ana", signers={"targets": circle.ana.signers["targets"]})
    targets_only.signs(circle.repository)
    type(targets_only)(name="Ben", signers={"targets": circle.ben.signers["targets"]}).signs(circle.repository)

    verified = circle.repository.verify(NOW)
    assert (verified.root_version, verified.targets_version) == (1, 2)
    assert [one.place for one in verified.waiting] == [MODELS_ROOT]


@pytest.mark.parametrize("signers", [("newcomer", "other"), ("ana", "newcomer")])
def test_a_new_root_needs_the_old_threshold_and_the_new_one(circle: Circle, signers: tuple[str, str]) -> None:
    people = {"newcomer": a_person("Dora"), "other": a_person("Emil"), "ana": circle.ana}
    for name in ("newcomer", "other"):
        change_keys(circle.repository, "root", add=[people[name].public("root")], now=NOW)
    change_keys(circle.repository, "root", remove=["Cara", "Ben"], now=NOW)

    for name in signers:
        people[name].signs(circle.repository)
    settle(circle.repository)

    assert circle.repository.installed_root(MODELS_ROOT).version == 1  # type: ignore[union-attr]  # it is there
    (needed,) = waiting(circle.repository)
    assert [need.by for need in needed.needs if need.missing] == ["root version 1"]


def test_a_root_signed_by_old_and_new_comes_into_force_and_devices_follow(circle: Circle) -> None:
    first = circle.repository.root_path.read_bytes()
    director_first = circle.repository.director_root_path.read_bytes()
    draft(circle.repository, an_artifact())
    newcomer = a_person("Dora")
    for role in ("root", "director-root"):
        change_keys(circle.repository, role, add=[newcomer.public(role)], remove=["Cara"], now=NOW)
    circle.both_sign()

    verified = circle.repository.verify(NOW)
    submission = submission_of(circle.repository, verified)
    trusted = follow(first, submission, OnlineRoles(online=circle.online), now=NOW)
    director = follow(director_first, submission, OnlineRoles(online=circle.online), now=NOW, director=True)

    assert (trusted.root.version, director.root.version) == (2, 2)
    assert list(trusted.targets.targets) == ["digits/1.0.0/raspberry-pi-4.artifact"]
    assert waiting(circle.repository) == ()


def test_replaced_keys_of_targets_are_asked_to_sign_again(circle: Circle) -> None:
    first = circle.repository.root_path.read_bytes()
    draft(circle.repository, an_artifact())
    circle.both_sign()
    newcomer = a_person("Dora", "targets")
    change_keys(circle.repository, "targets", add=[newcomer.public("targets")], remove=["Ben", "Cara"], now=NOW)

    circle.both_sign()
    (needed,) = waiting(circle.repository)
    circle.ana.signs(circle.repository)
    newcomer.signs(circle.repository)

    assert (needed.place, needed.version) == (TARGETS, 2)
    submission = submission_of(circle.repository, circle.repository.verify(NOW))
    assert follow(first, submission, OnlineRoles(online=circle.online), now=NOW).targets.version == 2


def test_a_device_refuses_a_listing_with_one_signature(circle: Circle) -> None:
    draft(circle.repository, an_artifact())
    circle.both_sign()
    submission = submission_of(circle.repository, circle.repository.verify(NOW))
    tampered = submission.targets.replace(
        signature_of(circle.repository.targets_path, circle.ben, "targets"), "ab" * 64
    )

    with pytest.raises(UnsignedMetadataError):
        follow(
            circle.repository.root_path.read_bytes(),
            type(submission)(roots=submission.roots, targets=tampered, teams={}, director_roots=()),
            OnlineRoles(online=circle.online),
            now=NOW,
        )


def test_the_first_roots_may_wait_and_everything_be_signed_in_one_round(tmp_path: Path) -> None:
    circle = a_circle(tmp_path / "repository", threshold=3)
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    circle.ben.signs(circle.repository)

    waited = [one.place for one in waiting(circle.repository)]
    circle.cara.signs(circle.repository)

    assert waited == [MODELS_ROOT, DIRECTOR_ROOT, TARGETS]
    assert Repository.open(tmp_path / "repository").verify(NOW).targets_version == 1
