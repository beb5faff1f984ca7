"""What is signed is what was told: every change has its line, and what no line tells is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Root, Targets

from contracts.ids import ModelName
from signing.ceremony.changes import delegate
from signing.ceremony.gathering import next_version, propose, store_pending
from signing.ceremony.words import changes, headline
from signing.errors import RepositoryDamaged
from signing.metadata import as_listing, as_root, set_floor, teams_of
from signing.places import DIRECTOR_ROOT, MODELS_ROOT, TARGETS, Place
from tests.signing.ceremony.people import LIFETIME, Circle, Person, a_circle, a_person, draft
from tests.signing.repositories import NOW, an_artifact

ERASE = "\x1b[6A\x1b[J"


@pytest.fixture
def circle(tmp_path: Path) -> Circle:
    circle = a_circle(tmp_path / "repository")
    draft(circle.repository, an_artifact())
    circle.both_sign()
    return circle


@pytest.fixture
def dora() -> Person:
    return a_person("Dora", "vision")


def with_team(circle: Circle, dora: Person) -> None:
    """Let the team vision sign faces and welds."""
    models = [ModelName("faces"), ModelName("welds")]
    delegate(circle.repository, "vision", models=models, keys=[dora.public("vision")], threshold=1, now=NOW)
    circle.both_sign()


def a_stranger_in(root: Root, role: str) -> None:
    root.revoke_key(root.roles[role].keyids[0], role)
    root.add_key(CryptoSigner.generate_ed25519().public_key, role)


def propose_root(circle: Circle, place: Place, change: Callable[[Root], None]) -> None:
    """Let a root wait that somebody with a root key changed by hand."""
    metadata = next_version(circle.repository, place)
    change(as_root(metadata))
    metadata.sign(circle.cara.signers[place.name], append=True)
    store_pending(circle.repository, place, metadata)


def propose_listing(circle: Circle, change: Callable[[Targets], None]) -> None:
    """Let top targets wait that somebody with a targets key changed by hand."""
    metadata = next_version(circle.repository, TARGETS)
    change(as_listing(metadata))
    metadata.sign(circle.cara.signers["targets"], append=True)
    store_pending(circle.repository, TARGETS, metadata)


def told(circle: Circle) -> tuple[str, ...]:
    """Return every line that Ben is shown."""
    return tuple(line for one in circle.ben.looks_at(circle.repository) for line in changes(one))


@pytest.mark.parametrize(
    ("place", "role"),
    [(MODELS_ROOT, "timestamp"), (DIRECTOR_ROOT, "snapshot"), (DIRECTOR_ROOT, "timestamp")],
)
def test_a_key_for_only_one_of_the_servers_roles_is_refused(circle: Circle, place: Place, role: str) -> None:
    propose_root(circle, place, lambda root: a_stranger_in(root, role))

    with pytest.raises(RepositoryDamaged, match="no line would tell whoever signs"):
        circle.ben.looks_at(circle.repository)


def test_a_threshold_for_only_one_of_the_servers_roles_is_refused(circle: Circle) -> None:
    def change(root: Root) -> None:
        root.add_key(CryptoSigner.generate_ed25519().public_key, "timestamp")
        root.add_key(CryptoSigner.generate_ed25519().public_key, "snapshot")
        root.roles["timestamp"].threshold = 2

    propose_root(circle, MODELS_ROOT, change)

    with pytest.raises(RepositoryDamaged, match=r"signed\.\w+"):
        circle.ben.looks_at(circle.repository)


def test_a_field_that_no_line_tells_is_refused_by_name(circle: Circle) -> None:
    propose_listing(circle, lambda listing: listing.unrecognized_fields.update(mirrors=["evil"]))

    with pytest.raises(RepositoryDamaged, match=r"signed\.mirrors is not as 'edgeship release'"):
        circle.ben.looks_at(circle.repository)


def test_a_second_hash_of_a_release_is_refused(circle: Circle) -> None:
    def change(listing: Targets) -> None:
        next(iter(listing.targets.values())).hashes["sha512"] = "ab" * 64

    propose_listing(circle, change)

    with pytest.raises(RepositoryDamaged, match=r"hashes\.sha512"):
        circle.ben.looks_at(circle.repository)


def test_a_team_that_goes_has_a_line_for_each_model_and_key(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)

    propose_listing(circle, lambda listing: setattr(listing, "delegations", None))

    assert told(circle)[:3] == (
        "- team vision signs no releases of faces any more",
        "- team vision signs no releases of welds any more",
        f"- key of vision: {dora.public('vision').words}",
    )


def test_a_model_that_a_team_loses_has_a_line(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)

    propose_listing(circle, lambda listing: setattr(teams_of(listing)["vision"], "paths", ["faces/*/*.artifact"]))

    assert told(circle)[0] == "- team vision signs no releases of welds any more"


def test_a_key_whose_holder_is_told_otherwise_has_lines(circle: Circle, dora: Person) -> None:
    with_team(circle, dora)
    keyid = dora.public("vision").keyid

    def change(listing: Targets) -> None:
        assert listing.delegations is not None
        listing.delegations.keys[keyid].unrecognized_fields["x-edgeship-holder"] = "Ana"

    propose_listing(circle, change)

    assert told(circle)[:2] == (f"- key of vision: Dora ({keyid[:10]})", f"+ key of vision: Ana ({keyid[:10]})")


@pytest.mark.parametrize("after", [{}, {"floors": {"digits": 1}}])
def test_a_floor_that_falls_has_a_line(circle: Circle, after: dict[str, dict[str, int]]) -> None:
    propose_listing(circle, lambda listing: set_floor(listing, "digits", 2))
    circle.ben.signs(circle.repository)

    propose_listing(circle, lambda listing: setattr(listing, "unrecognized_fields", after))

    assert told(circle)[0] == "- floor: here it stands no more that devices install no digits with a counter under 2"


def test_a_floor_of_no_model_is_refused_before_it_is_shown(circle: Circle) -> None:
    propose_listing(circle, lambda listing: listing.unrecognized_fields.update(floors={ERASE: 2}))

    with pytest.raises(RepositoryDamaged, match="floors") as caught:
        circle.ben.looks_at(circle.repository)

    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [ERASE, "../../../evil", "2.root", "director"])
def test_a_team_of_no_name_is_refused_before_it_is_a_file(circle: Circle, dora: Person, name: str) -> None:
    def change(listing: Targets) -> None:
        team = DelegatedRole(name, [], 1, terminating=True, paths=["faces/*/*.artifact"])
        listing.delegations = Delegations(keys={}, roles={name: team})
        listing.add_key(dora.signers["vision"].public_key, name)

    propose_listing(circle, change)

    with pytest.raises(RepositoryDamaged, match="a delegation of targets"):
        circle.repository.places()


def test_a_first_listing_with_a_high_number_is_not_said_to_replace_keys(tmp_path: Path) -> None:
    circle = a_circle(tmp_path / "repository")
    draft(circle.repository, an_artifact())

    (shown,) = propose(circle.repository, set(circle.ana.by_keyid), now=NOW, lifetime=LIFETIME, above=40)

    assert headline(shown).startswith("targets version 41 (none is in force: the first, or its keys were replaced)")
