"""The release engineer's keys: made once, opened by the passphrase alone, never by accident."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from signing.errors import KeyExists, KeyMissing, KeyUnreadable, RoleUnknown, WeakPassphrase, WrongPassphrase
from signing.keys import (
    KeyRole,
    held_keys,
    init_keys,
    load_signer,
    parse_offline_role,
    parse_team,
    private_path,
    public_of,
    public_path,
    read_public_key,
    tuf_key,
    write_public_key,
)
from tests.signing.repositories import PASSPHRASE


def test_the_passphrase_opens_the_key_whose_public_half_lies_beside_it(tmp_path: Path) -> None:
    made = init_keys(tmp_path / "keys", PASSPHRASE)

    signer = load_signer(tmp_path / "keys", KeyRole.TARGETS, PASSPHRASE)

    assert signer.public_key.keyid == made[KeyRole.TARGETS].keyid
    assert read_public_key(public_path(tmp_path / "keys", KeyRole.TARGETS)) == made[KeyRole.TARGETS]


def test_a_teams_key_is_made_alone_and_says_who_holds_it(tmp_path: Path) -> None:
    made = init_keys(tmp_path / "keys", PASSPHRASE, roles=["vision"], holder="Dora")

    assert held_keys(tmp_path / "keys") == made
    assert made["vision"].holder == "Dora"
    assert tuf_key(made["vision"]).unrecognized_fields == {"x-edgeship-holder": "Dora"}


@pytest.mark.parametrize("holder", ["\x1b[2J", "two\nlines", "x" * 65])
def test_a_holder_that_would_deceive_a_reader_is_refused(holder: str, tmp_path: Path) -> None:
    with pytest.raises(KeyUnreadable, match="printable"):
        init_keys(tmp_path / "keys", PASSPHRASE, holder=holder)

    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("name", ["online", "director", "snapshot", "Vision", "../vision", ""])
def test_a_role_of_the_servers_or_no_name_at_all_is_no_persons(name: str) -> None:
    with pytest.raises(RoleUnknown):
        parse_offline_role(name)


@pytest.mark.parametrize("name", ["root", "targets", "director-root"])
def test_a_team_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(RoleUnknown, match="choose another name"):
        parse_team(name)


def test_an_ecdsa_key_in_another_spelling_is_refused(tmp_path: Path) -> None:
    key = public_of(CryptoSigner.generate_ecdsa().public_key)
    write_public_key(tmp_path / "root.pub.json", replace(key, public=key.public.replace("\n", "\r\n")))

    with pytest.raises(KeyUnreadable, match="keyid"):
        read_public_key(tmp_path / "root.pub.json")


def test_private_keys_are_encrypted_and_for_their_owner_only(tmp_path: Path) -> None:
    init_keys(tmp_path / "keys", PASSPHRASE)

    path = private_path(tmp_path / "keys", KeyRole.ROOT)

    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_wrong_passphrase_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    init_keys(tmp_path / "keys", PASSPHRASE)

    with pytest.raises(WrongPassphrase) as caught:
        load_signer(tmp_path / "keys", KeyRole.ROOT, "not that one")

    assert "does not open" in str(caught.value)
    assert "EDGESHIP_KEY_PASSPHRASE" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "not that one" not in str(caught.value)


def test_existing_keys_are_never_overwritten(tmp_path: Path) -> None:
    init_keys(tmp_path / "keys", PASSPHRASE)
    before = private_path(tmp_path / "keys", KeyRole.ROOT).read_bytes()

    with pytest.raises(KeyExists, match="choose another folder"):
        init_keys(tmp_path / "keys", PASSPHRASE)

    assert private_path(tmp_path / "keys", KeyRole.ROOT).read_bytes() == before


def test_a_short_passphrase_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(WeakPassphrase, match="at least 8"):
        init_keys(tmp_path / "keys", "short")

    assert not (tmp_path / "keys").exists()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    init_keys(tmp_path / "keys", PASSPHRASE)
    path = private_path(tmp_path / "keys", KeyRole.TARGETS)
    path.chmod(0o644)

    with pytest.raises(KeyUnreadable, match="chmod 600"):
        load_signer(tmp_path / "keys", KeyRole.TARGETS, PASSPHRASE)


def test_a_key_without_encryption_is_refused(tmp_path: Path) -> None:
    path = private_path(tmp_path, KeyRole.TARGETS)
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    path.chmod(0o600)

    with pytest.raises(KeyUnreadable, match="no encrypted key"):
        load_signer(tmp_path, KeyRole.TARGETS, PASSPHRASE)


def test_a_missing_key_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="edgeship keys init"):
        load_signer(tmp_path, KeyRole.ROOT, PASSPHRASE)


def test_a_public_key_under_a_foreign_keyid_is_refused(tmp_path: Path) -> None:
    made = init_keys(tmp_path, PASSPHRASE)
    path = public_path(tmp_path, KeyRole.ROOT)
    path.write_text(json.dumps({**json.loads(path.read_text()), "keyid": made[KeyRole.TARGETS].keyid}))

    with pytest.raises(KeyUnreadable, match="keyid"):
        read_public_key(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keyid":"a","keytype":"rsa","scheme":"rsa","public":"00"}', "\xff"])
def test_what_is_no_public_key_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "online.pub.json"
    path.write_text(text, "latin-1")

    with pytest.raises(KeyUnreadable):
        read_public_key(path)
