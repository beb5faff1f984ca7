"""A copy signed elsewhere comes back: what is the same is put together, what differs is refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets

from signing.ceremony.changes import change_keys
from signing.ceremony.gathering import next_version, store_pending
from signing.ceremony.merging import merge
from signing.errors import CopyDiffers, RepositoryDamaged
from signing.metadata import as_listing
from signing.places import MODELS_ROOT, TARGETS, team_place
from signing.repository import Repository
from signing.verification import ARTIFACT_LIMIT_BYTES
from tests.signing.ceremony.people import Circle, a_circle, a_person, draft, tamper
from tests.signing.repositories import NOW, an_artifact


@pytest.fixture
def circle(tmp_path: Path) -> Circle:
    return a_circle(tmp_path / "repository")


def files(repository: Repository) -> dict[str, bytes]:
    """Return every file of the repository."""
    folder = repository.folder
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_signatures_made_on_two_machines_come_together(circle: Circle, tmp_path: Path) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    copy = circle.copy(tmp_path / "copy")
    circle.ben.signs(copy)

    merged = merge(circle.repository, copy)

    assert merged.signatures == (("targets", f"Ben ({circle.ben.public('targets').keyid[:10]})"),)
    assert merged.in_force == ("targets",)
    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]


def test_two_copies_that_each_gave_one_signature_meet(circle: Circle, tmp_path: Path) -> None:
    narrow = a_circle(tmp_path / "three", threshold=3)
    narrow.cara.signs(narrow.repository)
    draft(narrow.repository, an_artifact())
    narrow.ana.signs(narrow.repository)
    first, second = narrow.copy(tmp_path / "first"), narrow.copy(tmp_path / "second")
    narrow.ben.signs(first)
    narrow.cara.signs(second)

    merge(narrow.repository, first)
    merge(narrow.repository, second)

    assert [one.id for one in narrow.repository.verify(NOW).releases] == ["digits@1.0.0"]


def test_a_copy_brings_its_drafts_and_their_bytes(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    draft(copy, an_artifact())

    merged = merge(circle.repository, copy)
    circle.both_sign()

    assert merged.drafts == ("digits/1.0.0/raspberry-pi-4.artifact",)
    assert [one.id for one in circle.repository.verify(NOW).releases] == ["digits@1.0.0"]


def test_a_copy_brings_roots_and_releases_that_are_in_force_there(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    change_keys(copy, "targets", remove=["Cara"], now=NOW)
    draft(copy, an_artifact())
    circle.ana.signs(copy)
    circle.ben.signs(copy)

    merged = merge(circle.repository, copy)

    assert merged.in_force == ("root", "targets")
    assert circle.repository.verify(NOW).root_version == 2


def test_merging_twice_changes_nothing_more(circle: Circle, tmp_path: Path) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    copy = circle.copy(tmp_path / "copy")
    circle.ben.signs(copy)
    merge(circle.repository, copy)
    before = files(circle.repository)

    merged = merge(circle.repository, copy)

    assert files(circle.repository) == before
    assert (merged.signatures, merged.drafts, merged.in_force) == ((), (), ())


def test_another_draft_signed_in_the_place_of_ours_is_refused_with_the_difference(
    circle: Circle, tmp_path: Path
) -> None:
    copy = circle.copy(tmp_path / "copy")
    draft(circle.repository, an_artifact(content=b"ours"))
    draft(copy, an_artifact(content=b"theirs"))
    circle.ana.signs(circle.repository)
    circle.ben.signs(copy)
    before = files(circle.repository)

    with pytest.raises(CopyDiffers, match=r"digits/1.0.0/raspberry-pi-4.artifact: sha256 [0-9a-f]{64} there, [0-9a-f]"):
        merge(circle.repository, copy)

    assert files(circle.repository) == before


def test_a_signature_replaced_on_the_way_is_refused_by_name(circle: Circle, tmp_path: Path) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    copy = circle.copy(tmp_path / "copy")
    draft_of_ben = copy.pending_path(TARGETS)
    pending = copy.pending(TARGETS)
    assert pending is not None
    pending.sign(circle.ben.signers["targets"], append=True)
    pending.signatures[circle.ben.public("targets").keyid].signature = "ab" * 64
    draft_of_ben.write_bytes(pending.to_bytes())

    with pytest.raises(RepositoryDamaged, match=r"the signature of Ben .* is not of what the file says"):
        merge(circle.repository, copy)


def test_a_digest_changed_on_the_way_is_refused(circle: Circle, tmp_path: Path) -> None:
    draft(circle.repository, an_artifact())
    circle.ana.signs(circle.repository)
    copy = circle.copy(tmp_path / "copy")
    tamper(copy.pending_path(TARGETS), copy.listed()[0].digest, "0" * 64)

    with pytest.raises(CopyDiffers, match=f"sha256 {'0' * 64} there"):
        merge(circle.repository, copy)


def test_an_artifact_changed_on_the_way_is_refused(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    draft(copy, an_artifact())
    circle.ana.signs(copy)
    copy.artifact_path(copy.listed()[0].digest).write_bytes(b"something else")

    with pytest.raises(RepositoryDamaged, match="differs from what was signed"):
        merge(circle.repository, copy)

    assert circle.repository.pending(TARGETS) is None


def test_a_copy_of_another_repository_is_refused(circle: Circle, tmp_path: Path) -> None:
    stranger = a_circle(tmp_path / "stranger")

    with pytest.raises(CopyDiffers, match="copy of another repository"):
        merge(circle.repository, stranger.repository)


def test_a_root_that_only_its_new_keys_signed_is_refused(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    intruder = a_person("Mallory")
    change_keys(copy, "root", add=[intruder.public("root")], remove=["Ana", "Ben"], now=NOW)
    pending = copy.pending(MODELS_ROOT)
    assert pending is not None
    pending.sign(intruder.signers["root"])
    copy.numbered_root_path(2).write_bytes(pending.to_bytes())
    copy.root_path.write_bytes(pending.to_bytes())

    with pytest.raises(RepositoryDamaged, match=r"not signed as root version 1 asks: 0 of 2"):
        merge(circle.repository, copy)

    assert circle.repository.numbered_root_path(2).exists() is False


def test_two_drafts_of_one_path_are_refused(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    draft(circle.repository, an_artifact(content=b"ours"))
    draft(copy, an_artifact(content=b"theirs"))

    with pytest.raises(CopyDiffers, match="delete one draft"):
        merge(circle.repository, copy)


def test_an_older_copy_has_nothing_to_bring(circle: Circle, tmp_path: Path) -> None:
    old = circle.copy(tmp_path / "copy")
    draft(circle.repository, an_artifact())
    circle.both_sign()

    merged = merge(circle.repository, old)

    assert (merged.signatures, merged.in_force) == ((), ())
    shutil.rmtree(old.folder)
    assert circle.repository.verify(NOW).targets_version == 1


def team_called(name: str, copy: Repository) -> None:
    """Let targets wait in the copy, unsigned, that name such a team; and a file of that team's beside them."""
    metadata = next_version(copy, TARGETS)
    listing = as_listing(metadata)
    team = DelegatedRole(name, [], 1, terminating=True, paths=["owned/*/*.artifact"])
    listing.delegations = Delegations(keys={}, roles={name: team})
    listing.add_key(CryptoSigner.generate_ed25519().public_key, name)
    store_pending(copy, TARGETS, metadata)
    store_pending(copy, team_place(name), Metadata(Targets(version=1, expires=NOW)))


def test_a_team_whose_name_leads_out_of_the_repository_is_refused(circle: Circle, tmp_path: Path) -> None:
    outside = tmp_path / "home" / "deep"
    outside.mkdir(parents=True)
    shutil.copytree(circle.repository.folder, outside / "repository")
    copy = circle.copy(tmp_path / "copy")
    team_called("../../../evil", copy)

    with pytest.raises(RepositoryDamaged, match="a delegation of targets"):
        merge(Repository(folder=outside / "repository"), copy)

    assert list((tmp_path / "home").rglob("evil*")) == []


def test_what_nobody_signed_is_named_when_it_is_brought_in(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    change_keys(copy, "targets", remove=["Cara"], now=NOW)

    merged = merge(circle.repository, copy)
    again = merge(circle.repository, copy)

    assert (merged.unsigned, again.unsigned) == (("root",), ())


def test_a_pipe_in_the_place_of_an_artifact_is_refused_and_not_waited_for(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    os.mkfifo(copy.folder / "artifacts" / f"{'ab' * 32}.artifact")

    with pytest.raises(RepositoryDamaged, match="no regular file"):
        merge(circle.repository, copy)


def test_a_giant_in_the_place_of_an_artifact_is_refused_unread(circle: Circle, tmp_path: Path) -> None:
    copy = circle.copy(tmp_path / "copy")
    with (copy.folder / "artifacts" / f"{'ab' * 32}.artifact").open("wb") as file:
        file.truncate(ARTIFACT_LIMIT_BYTES + 1)

    with pytest.raises(RepositoryDamaged, match="over the limit"):
        merge(circle.repository, copy)


def test_what_a_killed_merge_left_is_swept_and_nothing_else(circle: Circle, tmp_path: Path) -> None:
    left, others = tmp_path / ".merge-repository-abcd_123", tmp_path / ".merge-other-abcd_123"
    left.mkdir()
    others.mkdir()

    merge(circle.repository, circle.copy(tmp_path / "copy"))

    assert [path.name for path in tmp_path.glob(".merge-*")] == [others.name]
