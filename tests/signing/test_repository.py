"""Draft, then sign: what becomes part of a release, and what does not."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from contracts.chunks import ChunkIndex, cut
from contracts.codec import decode, from_plain
from contracts.release import TargetCustom, index_digest
from signing.errors import (
    DraftRefused,
    NothingDrafted,
    NothingSigned,
    RepositoryDamaged,
    RepositoryExists,
    RepositoryMissing,
    WrongKey,
)
from signing.keys import init_keys
from signing.repository import Repository
from tests.signing.repositories import NOW, PASSPHRASE, Workshop, a_workshop, an_artifact, public_half


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return a_workshop(tmp_path)


def test_a_signed_release_is_what_tufs_own_client_accepts(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact())
    workshop.sign()
    targets = workshop.repository.targets_path.read_bytes()
    snapshot = Metadata(Snapshot(expires=NOW + timedelta(days=10000), meta={"targets.json": MetaFile(1)}))
    timestamp = Metadata(Timestamp(expires=NOW + timedelta(days=10000)))
    snapshot.sign(workshop.online)
    timestamp.sign(workshop.online)

    trusted = TrustedMetadataSet(workshop.repository.root_path.read_bytes(), EnvelopeType.METADATA)
    trusted.reference_time = NOW
    trusted.update_timestamp(timestamp.to_bytes())
    trusted.update_snapshot(snapshot.to_bytes())
    accepted = trusted.update_targets(targets)

    assert list(accepted.targets) == ["digits/1.0.0/raspberry-pi-4.artifact"]


def test_the_signed_custom_field_names_the_release_and_its_index(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(counter=4))
    workshop.sign()

    target = workshop.repository.targets().signed.targets["digits/1.0.0/raspberry-pi-4.artifact"]
    custom = from_plain(TargetCustom, target.custom)

    index = decode(ChunkIndex, workshop.repository.index_path(custom.index).read_bytes())
    assert (custom.release, custom.counter, custom.profile) == ("digits@1.0.0", 4, "raspberry-pi-4")
    assert index_digest(index) == (custom.index, custom.index_length)
    assert index.artifact == target.hashes["sha256"]


def test_artifacts_for_several_profiles_make_one_release(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(profile="raspberry-pi-4"))
    workshop.draft(tmp_path, an_artifact(profile="coral-dev-board"))

    signed = workshop.repository.sign(workshop.keys, passphrase=PASSPHRASE, now=NOW)

    assert [release.id for release in signed] == ["digits@1.0.0"]
    assert [artifact.profile for artifact in signed[0].artifacts] == ["coral-dev-board", "raspberry-pi-4"]


def test_signing_again_adds_to_what_was_signed_under_a_higher_version(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(version="1.0.0", counter=1))
    workshop.sign()
    workshop.draft(tmp_path, an_artifact(version="1.1.0", counter=2))

    fresh = workshop.repository.sign(workshop.keys, passphrase=PASSPHRASE, now=NOW)

    assert [release.id for release in fresh] == ["digits@1.1.0"]
    assert [release.id for release in workshop.repository.releases()] == ["digits@1.0.0", "digits@1.1.0"]
    assert workshop.repository.targets().signed.version == 2
    assert workshop.repository.drafted() == ()


def test_two_versions_drafted_together_are_both_signed(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(version="1.0.0", counter=1))
    workshop.draft(tmp_path, an_artifact(version="1.1.0", counter=2))
    workshop.draft(tmp_path, an_artifact(version="1.0.0", counter=1, profile="coral-dev-board"))

    workshop.sign()

    assert [release.counter for release in workshop.repository.releases()] == [1, 2]


@pytest.mark.parametrize("counter", [1, 2])
def test_a_counter_that_does_not_grow_is_refused(counter: int, workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(version="1.0.0", counter=2))
    workshop.sign()

    with pytest.raises(DraftRefused, match=r"must be larger than 2 of digits@1\.0\.0; pack it with counter 3"):
        workshop.draft(tmp_path, an_artifact(version="1.1.0", counter=counter))


def test_a_counter_must_also_grow_over_what_is_only_drafted(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(version="1.0.0", counter=2))

    with pytest.raises(DraftRefused, match="larger than 2"):
        workshop.draft(tmp_path, an_artifact(version="1.1.0", counter=2))


def test_counters_of_different_models_are_apart(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(model="digits", counter=9))

    workshop.draft(tmp_path, an_artifact(model="welds", counter=1))

    assert len(workshop.repository.drafted()) == 2


def test_one_release_has_one_counter(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(counter=1))

    with pytest.raises(DraftRefused, match="has one counter"):
        workshop.draft(tmp_path, an_artifact(counter=2, profile="coral-dev-board"))


def test_a_signed_release_does_not_change(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact())
    workshop.sign()

    with pytest.raises(DraftRefused, match="new version"):
        workshop.draft(tmp_path, an_artifact(content=b"other model"))
    with pytest.raises(DraftRefused, match="new version"):
        workshop.draft(tmp_path, an_artifact(profile="coral-dev-board"))


def test_drafting_what_is_signed_already_changes_nothing(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact())
    workshop.sign()

    workshop.draft(tmp_path, an_artifact())

    assert workshop.repository.drafted() == ()


def test_drafting_a_path_again_replaces_it(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(content=b"first try"))

    workshop.draft(tmp_path, an_artifact(content=b"second try"))

    assert [one.length for one in workshop.repository.drafted()] == [len(an_artifact(content=b"second try"))]


def test_the_size_of_chunks_is_the_engineers_choice(workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "digits.artifact"
    path.write_bytes(an_artifact(content=bytes(1000)))
    workshop.repository.draft(path, chunk_bytes=256)
    workshop.sign()

    index_path = workshop.repository.index_path(workshop.repository.releases()[0].artifacts[0].custom.index)

    assert decode(ChunkIndex, index_path.read_bytes()) == cut(path.read_bytes(), 256)
    assert workshop.repository.verify(NOW).targets_version == 1


@pytest.mark.parametrize("chunk_bytes", [0, -1, 120 * 1024 + 1])
def test_chunks_that_no_message_carries_are_refused(chunk_bytes: int, workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "digits.artifact"
    path.write_bytes(an_artifact())

    with pytest.raises(DraftRefused, match="do not travel"):
        workshop.repository.draft(path, chunk_bytes=chunk_bytes)


def test_a_file_that_is_no_artifact_is_refused_by_name(workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no artifact")

    with pytest.raises(DraftRefused, match=r"model\.onnx: .*recipe pack"):
        workshop.repository.draft(path)


def test_a_draft_is_not_signed_and_not_listed_as_a_release(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact())

    assert workshop.repository.releases() == ()
    with pytest.raises(NothingSigned, match="edgeship release sign"):
        workshop.repository.verify(NOW)


def test_a_draft_that_was_tampered_with_is_not_signed(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact())
    draft = workshop.repository.folder / "draft.json"
    draft.write_text(draft.read_text().replace('"counter": 1', '"counter": 7'))

    with pytest.raises(RepositoryDamaged, match="not what was"):
        workshop.sign()


def test_signing_nothing_is_refused_unless_it_is_to_renew(workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact())
    workshop.sign()

    with pytest.raises(NothingDrafted):
        workshop.sign()
    renewed = workshop.repository.sign(workshop.keys, passphrase=PASSPHRASE, now=NOW + timedelta(days=80), renew=True)

    assert renewed == ()
    assert workshop.repository.verify(NOW + timedelta(days=100)).targets_version == 2


def test_a_key_that_root_does_not_name_signs_nothing(workshop: Workshop, tmp_path: Path) -> None:
    init_keys(tmp_path / "others", PASSPHRASE)
    workshop.draft(tmp_path, an_artifact())

    with pytest.raises(WrongKey, match="does not name"):
        workshop.repository.sign(tmp_path / "others", passphrase=PASSPHRASE, now=NOW)

    assert not workshop.repository.targets_path.exists()


def test_a_private_root_key_beside_a_foreign_public_half_makes_no_repository(
    workshop: Workshop, tmp_path: Path
) -> None:
    init_keys(tmp_path / "others", PASSPHRASE)
    (tmp_path / "others" / "root.pub.json").write_bytes((workshop.keys / "root.pub.json").read_bytes())

    with pytest.raises(WrongKey, match="not one key"):
        Repository.create(
            tmp_path / "new",
            tmp_path / "others",
            passphrase=PASSPHRASE,
            online=public_half(workshop.online),
            director=public_half(workshop.director),
            now=NOW,
        )


def test_a_repository_is_not_made_twice(workshop: Workshop) -> None:
    with pytest.raises(RepositoryExists):
        Repository.create(
            workshop.repository.folder,
            workshop.keys,
            passphrase=PASSPHRASE,
            online=public_half(workshop.online),
            director=public_half(workshop.director),
            now=NOW,
        )


def test_a_folder_that_is_no_repository_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing, match="edgeship release init"):
        Repository.open(tmp_path)


def test_root_names_the_online_key_for_snapshot_and_timestamp_only(workshop: Workshop) -> None:
    root = json.loads(workshop.repository.root_path.read_text())["signed"]

    online = workshop.online.public_key.keyid
    roles = sorted(name for name, role in root["roles"].items() if online in role["keyids"])
    assert roles == ["snapshot", "timestamp"]
    assert root["consistent_snapshot"] is False
