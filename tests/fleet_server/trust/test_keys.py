"""The server's keys: private, never overwritten, and replaced one beside the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_server.errors import ConfigError, DataDirUnusable
from fleet_server.trust.keys import KeyName, KeyRing, add_key, create_key
from signing.keys import read_public_key


@pytest.mark.parametrize("name", KeyName)
def test_a_key_is_for_its_owner_only_and_never_overwritten(tmp_path: Path, name: KeyName) -> None:
    create_key(tmp_path, KeyName.ONLINE if name is KeyName.DIRECTOR else KeyName.DIRECTOR)
    key = create_key(tmp_path, name)

    with pytest.raises(DataDirUnusable, match="exists"):
        create_key(tmp_path, name)

    assert (tmp_path / f"{name}.pem").stat().st_mode & 0o777 == 0o600
    assert KeyRing(tmp_path, name).public == key.public == read_public_key(tmp_path / f"{name}.pub.json")
    assert "PRIVATE" not in (tmp_path / f"{name}.pub.json").read_text()


def test_the_key_that_signs_is_the_one_that_the_root_names(tmp_path: Path) -> None:
    old = create_key(tmp_path, KeyName.DIRECTOR).public
    ring = KeyRing(tmp_path, KeyName.DIRECTOR)
    new, file = add_key(tmp_path, KeyName.DIRECTOR)

    signers = [ring.signer([keyid]).public_key.keyid for keyid in (old.keyid, new.public.keyid)]

    assert signers == [old.keyid, new.public.keyid]
    assert (ring.public, file.name) == (new.public, "director-2.pub.json")


def test_the_tenth_key_is_newer_than_the_second(tmp_path: Path) -> None:
    create_key(tmp_path, KeyName.DIRECTOR)
    made = [add_key(tmp_path, KeyName.DIRECTOR)[0].public for _ in range(9)]

    assert KeyRing(tmp_path, KeyName.DIRECTOR).public == made[-1]


def test_a_new_key_after_one_that_was_taken_away_is_the_newest_of_all(tmp_path: Path) -> None:
    create_key(tmp_path, KeyName.DIRECTOR)
    add_key(tmp_path, KeyName.DIRECTOR)
    add_key(tmp_path, KeyName.DIRECTOR)
    (tmp_path / "director-2.pem").unlink()

    newest, file = add_key(tmp_path, KeyName.DIRECTOR)

    assert file.name == "director-4.pub.json"
    assert KeyRing(tmp_path, KeyName.DIRECTOR).public == newest.public


def test_a_root_that_names_a_key_which_is_not_here_says_so(tmp_path: Path) -> None:
    create_key(tmp_path, KeyName.ONLINE)

    with pytest.raises(ConfigError, match=r"restore online\.pem from your backup"):
        KeyRing(tmp_path, KeyName.ONLINE).signer(["f" * 64])


def test_a_folder_without_a_server_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edgeship server init"):
        KeyRing(tmp_path, KeyName.DIRECTOR)


def test_a_server_without_a_director_names_the_command_that_makes_its_key(tmp_path: Path) -> None:
    create_key(tmp_path, KeyName.ONLINE)

    with pytest.raises(ConfigError, match="edgeship server migrate"):
        KeyRing(tmp_path, KeyName.DIRECTOR)


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    create_key(tmp_path, KeyName.ONLINE)
    (tmp_path / "online.pem").write_text("nonsense")

    with pytest.raises(ConfigError, match="no readable key"):
        KeyRing(tmp_path, KeyName.ONLINE)
