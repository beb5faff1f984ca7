"""``edgeship keys`` and ``edgeship release`` as a release engineer types them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from securesystemslib.signer import CryptoSigner

from contracts.codec import to_plain
from signing.cli import keys, release
from signing.errors import KeyMissing, WrongPassphrase
from signing.repository import Repository
from tests.fleet_server.fake_api import TOKEN, fake_api
from tests.signing.repositories import PASSPHRASE, Workshop, an_artifact, public_half
from tests.signing.test_publish import accept

ONLINE = CryptoSigner.generate_ed25519()


def run(*arguments: str | Path, passphrase: str | None = PASSPHRASE) -> Result:
    """Type the arguments after ``edgeship release``."""
    return CliRunner(env={"EDGESHIP_KEY_PASSPHRASE": passphrase}).invoke(release, [str(one) for one in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = CliRunner(env={"EDGESHIP_KEY_PASSPHRASE": PASSPHRASE}).invoke(keys, ["init", str(tmp_path / "keys")])
    assert made.exit_code == 0, made.output
    (tmp_path / "online.pub.json").write_text(json.dumps(to_plain(public_half(ONLINE))))
    (tmp_path / "digits.artifact").write_bytes(an_artifact())
    return tmp_path


def places(folder: Path) -> Sequence[str | Path]:
    return ("--repository", folder / "repository")


def test_draft_sign_verify_and_show_tell_the_next_step(folder: Path) -> None:
    made = run("init", *places(folder), "--keys", folder / "keys", "--online", folder / "online.pub.json")
    drafted = run("draft", folder / "digits.artifact", *places(folder), passphrase=None)
    signed = run("sign", *places(folder), "--keys", folder / "keys")
    verified = run("verify", *places(folder), passphrase=None)
    shown = run("show", *places(folder), passphrase=None)

    assert [one.exit_code for one in (made, drafted, signed, verified, shown)] == [0, 0, 0, 0, 0]
    assert "edgeship server trust --data FOLDER " in made.output
    assert "drafted digits@1.0.0 for raspberry-pi-4" in drafted.output
    assert "✓ signed digits@1.0.0, counter 1, for raspberry-pi-4" in signed.output
    assert "signatures, digests and manifests hold" in verified.output
    assert shown.output.startswith("signed   digits@1.0.0")


def test_show_speaks_json_for_programs(folder: Path) -> None:
    run("init", *places(folder), "--keys", folder / "keys", "--online", folder / "online.pub.json")
    run("draft", folder / "digits.artifact", *places(folder))

    shown = json.loads(run("show", *places(folder), "--json").output)

    assert shown["signed"] == []
    assert shown["drafted"][0]["id"] == "digits@1.0.0"


def test_publish_sends_and_mentions_what_stays_behind(folder: Path) -> None:
    run("init", *places(folder), "--keys", folder / "keys", "--online", folder / "online.pub.json")
    run("draft", folder / "digits.artifact", *places(folder))
    run("sign", *places(folder), "--keys", folder / "keys")
    (folder / "next.artifact").write_bytes(an_artifact(version="2.0.0", counter=2))
    run("draft", folder / "next.artifact", *places(folder))
    (folder / "token").write_text(TOKEN)
    repository = Repository.open(folder / "repository")

    with fake_api() as api:
        api.answer("GET", "/api/v1/releases", [])
        accept(api, Workshop(keys=folder / "keys", repository=repository, online=ONLINE))
        published = run("publish", *places(folder), "--server", api.url, "--token-file", folder / "token")

    assert published.exit_code == 0, published.output
    assert "✓ published digits@1.0.0" in published.output
    assert "Drafted and not signed: 1" in published.output


def test_a_wrong_passphrase_leaves_nothing_signed(folder: Path) -> None:
    run("init", *places(folder), "--keys", folder / "keys", "--online", folder / "online.pub.json")
    run("draft", folder / "digits.artifact", *places(folder))

    signed = run("sign", *places(folder), "--keys", folder / "keys", passphrase="something else")

    assert isinstance(signed.exception, WrongPassphrase)
    assert signed.exit_code == 1
    assert Repository.open(folder / "repository").releases() == ()


def test_a_folder_without_keys_is_said_before_a_passphrase_is_asked_for(folder: Path) -> None:
    run("init", *places(folder), "--keys", folder / "keys", "--online", folder / "online.pub.json")

    signed = run("sign", *places(folder), "--keys", folder / "nokeys", passphrase=None)

    assert isinstance(signed.exception, KeyMissing)
    assert "nokeys" in str(signed.exception)


def test_without_a_terminal_or_the_variable_the_variable_is_named(folder: Path) -> None:
    made = run(
        "init", *places(folder), "--keys", folder / "keys", "--online", folder / "online.pub.json", passphrase=None
    )

    assert made.exit_code == 2
    assert "set EDGESHIP_KEY_PASSPHRASE" in made.output


def test_keys_show_prints_public_halves_only(folder: Path) -> None:
    shown = CliRunner().invoke(keys, ["show", str(folder / "keys"), "--json"])

    assert sorted(json.loads(shown.output)) == ["root", "targets"]
    assert sorted(json.loads(shown.output)["root"]) == ["keyid", "keytype", "public", "scheme"]
