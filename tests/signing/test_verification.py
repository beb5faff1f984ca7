"""Sign, then change anything: it never verifies again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, TargetFile

from contracts.codec import to_plain
from signing.errors import MetadataExpired, RepositoryDamaged, SigningError
from signing.keys import KeyRole, load_signer
from signing.repository import Repository
from tests.signing.repositories import NOW, PASSPHRASE, Workshop, a_workshop, an_artifact


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("signed")
    workshop = a_workshop(folder)
    workshop.draft(folder, an_artifact())
    workshop.draft(folder, an_artifact(profile="coral-dev-board", content=b"int8"))
    workshop.sign()
    return workshop


def test_what_was_signed_verifies(signed: Workshop) -> None:
    verified = signed.repository.verify(NOW)

    assert (verified.root_version, verified.targets_version) == (1, 1)
    assert verified.targets_expires_at == NOW + timedelta(days=90)
    assert [release.id for release in verified.releases] == ["digits@1.0.0"]


@pytest.mark.slow
@given(data=st.data())
def test_sign_then_flip_any_byte_never_verifies(signed: Workshop, data: st.DataObject) -> None:
    files = sorted(path for path in signed.repository.folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="file")
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1), label="place")
    change = data.draw(st.integers(1, 255), label="change")

    path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
    try:
        with pytest.raises(SigningError):
            signed.repository.verify(NOW)
    finally:
        path.write_bytes(whole)


@pytest.mark.slow
@given(data=st.data())
def test_sign_then_cut_short_or_lengthen_never_verifies(signed: Workshop, data: st.DataObject) -> None:
    files = sorted(path for path in signed.repository.folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files), label="file")
    whole = path.read_bytes()
    other = data.draw(
        st.one_of(st.integers(0, len(whole) - 1).map(lambda end: whole[:end]), st.just(whole + b"\n")), label="content"
    )

    path.write_bytes(other)
    try:
        with pytest.raises(SigningError):
            signed.repository.verify(NOW)
    finally:
        path.write_bytes(whole)


@pytest.fixture
def copied(signed: Workshop, tmp_path: Path) -> Workshop:
    shutil.copytree(signed.repository.folder, tmp_path / "copy")
    return replace(signed, repository=Repository.open(tmp_path / "copy"))


def test_the_same_metadata_in_another_spelling_do_not_verify(copied: Workshop) -> None:
    path = copied.repository.targets_path
    path.write_bytes(path.read_bytes().replace(b'{"signatures"', b'{ "signatures"'))

    with pytest.raises(RepositoryDamaged, match="another tool"):
        copied.repository.verify(NOW)


def test_a_missing_artifact_is_named(copied: Workshop) -> None:
    digest = copied.repository.releases()[0].artifacts[0].digest
    copied.repository.artifact_path(digest).unlink()

    with pytest.raises(RepositoryDamaged, match=digest):
        copied.repository.verify(NOW)


def test_targets_signed_by_a_key_that_root_does_not_name_are_refused(copied: Workshop) -> None:
    targets = copied.repository.targets()
    targets.sign(CryptoSigner.generate_ed25519())
    copied.repository.targets_path.write_bytes(targets.to_bytes())

    with pytest.raises(RepositoryDamaged, match="0 of 1 signatures of targets hold"):
        copied.repository.verify(NOW)


def test_targets_signed_by_the_servers_online_key_are_refused(copied: Workshop) -> None:
    targets = copied.repository.targets()
    targets.sign(copied.online)
    copied.repository.targets_path.write_bytes(targets.to_bytes())

    with pytest.raises(RepositoryDamaged, match="0 of 1 signatures of targets hold"):
        copied.repository.verify(NOW)


def test_expired_targets_name_the_command_that_renews(copied: Workshop) -> None:
    with pytest.raises(MetadataExpired, match=r"release sign --renew"):
        copied.repository.verify(NOW + timedelta(days=91))


def test_expired_root_is_refused(copied: Workshop) -> None:
    with pytest.raises(MetadataExpired, match="root"):
        copied.repository.verify(NOW + timedelta(days=366))


def test_a_signed_custom_field_that_contradicts_the_manifest_is_refused(copied: Workshop) -> None:
    targets = copied.repository.targets()
    path, target = next(iter(targets.signed.targets.items()))
    targets.signed.targets[path] = TargetFile(
        target.length, target.hashes, path, {"custom": {**target.custom, "counter": 5}}
    )
    targets.sign(load_signer(copied.keys, KeyRole.TARGETS, PASSPHRASE))
    copied.repository.targets_path.write_bytes(targets.to_bytes())

    with pytest.raises(RepositoryDamaged, match="not what was signed"):
        copied.repository.verify(NOW)


def test_a_signed_path_that_contradicts_its_custom_field_is_refused(copied: Workshop) -> None:
    targets = copied.repository.targets()
    target = targets.signed.targets.pop("digits/1.0.0/raspberry-pi-4.artifact")
    moved = "digits/1.0.0/raspberry-pi-5.artifact"
    targets.signed.targets[moved] = TargetFile(target.length, target.hashes, moved, {"custom": target.custom})
    targets.sign(load_signer(copied.keys, KeyRole.TARGETS, PASSPHRASE))
    copied.repository.targets_path.write_bytes(targets.to_bytes())

    with pytest.raises(RepositoryDamaged, match="raspberry-pi-5"):
        copied.repository.verify(NOW)


def test_a_new_root_must_be_signed_by_the_old_one(copied: Workshop) -> None:
    root = Metadata[Root].from_bytes(copied.repository.root_path.read_bytes())
    intruder = CryptoSigner.generate_ed25519()
    root.signed.version = 2
    root.signed.roles["root"].keyids.clear()
    root.signed.add_key(intruder.public_key, "root")
    root.sign(intruder)
    copied.repository.numbered_root_path(2).write_bytes(root.to_bytes())
    copied.repository.root_path.write_bytes(root.to_bytes())

    with pytest.raises(RepositoryDamaged, match="not signed as root version 1 asks"):
        copied.repository.verify(NOW)


def test_a_root_rotated_by_both_keys_verifies(copied: Workshop) -> None:
    root = Metadata[Root].from_bytes(copied.repository.root_path.read_bytes())
    successor = CryptoSigner.generate_ed25519()
    old = load_signer(copied.keys, KeyRole.ROOT, PASSPHRASE)
    root.signed.version = 2
    root.signed.revoke_key(old.public_key.keyid, "root")
    root.signed.add_key(successor.public_key, "root")
    root.sign(old)
    root.sign(successor, append=True)
    copied.repository.numbered_root_path(2).write_bytes(root.to_bytes())
    copied.repository.root_path.write_bytes(root.to_bytes())

    verified = copied.repository.verify(NOW)

    assert verified.root_version == 2
    assert to_plain(verified.releases) == to_plain(copied.repository.releases())
