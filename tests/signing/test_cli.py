"""``edgeship keys`` and ``edgeship release`` as a release engineer types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from securesystemslib.signer import CryptoSigner

from contracts.codec import to_plain
from signing.cli_keys import keys
from signing.cli_release import release
from signing.errors import KeyMissing, WrongPassphrase
from signing.repository import Repository
from tests.fleet_server.fake_api import TOKEN, fake_api
from tests.signing.repositories import PASSPHRASE, Workshop, an_artifact, public_half
from tests.signing.test_publish import accept

ONLINE = CryptoSigner.generate_ed25519()
DIRECTOR = CryptoSigner.generate_ed25519()


def write_public(path: Path, signer: CryptoSigner) -> None:
    """Write the signer's public half as ``edgeship server init`` does."""
    path.write_text(json.dumps(to_plain(public_half(signer))))


def run(*arguments: str | Path, passphrase: str | None = PASSPHRASE) -> Result:
    """Type the arguments after ``edgeship release``."""
    return CliRunner(env={"EDGESHIP_KEY_PASSPHRASE": passphrase}).invoke(release, [str(one) for one in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = CliRunner(env={"EDGESHIP_KEY_PASSPHRASE": PASSPHRASE}).invoke(keys, ["init", str(tmp_path / "keys")])
    assert made.exit_code == 0, made.output
    write_public(tmp_path / "online.pub.json", ONLINE)
    write_public(tmp_path / "director.pub.json", DIRECTOR)
    (tmp_path / "digits.artifact").write_bytes(an_artifact())
    return tmp_path


def places(folder: Path) -> Sequence[str | Path]:
    return ("--repository", folder / "repository")


def init(folder: Path, *, passphrase: str | None = PASSPHRASE) -> Result:
    """Make the repository of one person."""
    return run("init", *places(folder), *_init_options(folder), passphrase=passphrase)


def _init_options(folder: Path) -> Sequence[str | Path]:
    server = ("--online", folder / "online.pub.json", "--director", folder / "director.pub.json")
    return ("--keys", folder / "keys", *server)


def sign(folder: Path, *, passphrase: str | None = PASSPHRASE, keys: str = "keys") -> Result:
    """Sign what waits, without being asked."""
    return run("sign", *places(folder), "--keys", folder / keys, "--yes", passphrase=passphrase)


def test_draft_sign_verify_and_show_tell_the_next_step(folder: Path) -> None:
    made = init(folder)
    drafted = run("draft", folder / "digits.artifact", *places(folder), passphrase=None)
    signed = sign(folder)
    verified = run("verify", *places(folder), passphrase=None)
    shown = run("show", *places(folder), passphrase=None)

    assert [one.exit_code for one in (made, drafted, signed, verified, shown)] == [0, 0, 0, 0, 0]
    assert "edgeship server trust --data FOLDER " in made.output
    assert "drafted digits@1.0.0 for raspberry-pi-4" in drafted.output
    assert "✓ signed digits@1.0.0, counter 1, for raspberry-pi-4" in signed.output
    assert "signatures, digests and manifests hold" in verified.output
    assert shown.output.startswith("signed   digits@1.0.0")


def test_show_speaks_json_for_programs(folder: Path) -> None:
    init(folder)
    run("draft", folder / "digits.artifact", *places(folder))

    shown = json.loads(run("show", *places(folder), "--json").output)

    assert shown["signed"] == []
    assert shown["drafted"][0]["id"] == "digits@1.0.0"


def test_publish_sends_and_mentions_what_stays_behind(folder: Path) -> None:
    init(folder)
    run("draft", folder / "digits.artifact", *places(folder))
    sign(folder)
    (folder / "next.artifact").write_bytes(an_artifact(version="2.0.0", counter=2))
    run("draft", folder / "next.artifact", *places(folder))
    (folder / "token").write_text(TOKEN)
    repository = Repository.open(folder / "repository")

    with fake_api() as api:
        api.answer("GET", "/api/v1/releases", [])
        accept(api, Workshop(keys=folder / "keys", repository=repository, online=ONLINE, director=DIRECTOR))
        published = run("publish", *places(folder), "--server", api.url, "--token-file", folder / "token")

    assert published.exit_code == 0, published.output
    assert "✓ published digits@1.0.0" in published.output
    assert "Drafted and not signed: 1" in published.output


def test_a_wrong_passphrase_leaves_nothing_signed(folder: Path) -> None:
    init(folder)
    run("draft", folder / "digits.artifact", *places(folder))

    signed = sign(folder, passphrase="something else")

    assert isinstance(signed.exception, WrongPassphrase)
    assert signed.exit_code == 1
    assert Repository.open(folder / "repository").releases() == ()


def test_a_folder_without_keys_is_said_before_a_passphrase_is_asked_for(folder: Path) -> None:
    init(folder)

    signed = sign(folder, passphrase=None, keys="nokeys")

    assert isinstance(signed.exception, KeyMissing)
    assert "nokeys" in str(signed.exception)


def test_without_a_terminal_or_the_variable_the_variable_is_named(folder: Path) -> None:
    made = init(folder, passphrase=None)

    assert made.exit_code == 2
    assert "set EDGESHIP_KEY_PASSPHRASE" in made.output


def test_keys_show_prints_public_halves_only(folder: Path) -> None:
    shown = CliRunner().invoke(keys, ["show", str(folder / "keys"), "--json"])

    assert sorted(json.loads(shown.output)) == ["director-root", "root", "targets"]
    assert sorted(json.loads(shown.output)["root"]) == ["holder", "keyid", "keytype", "public", "scheme"]


def test_what_would_be_signed_is_shown_and_without_a_yes_not_signed(folder: Path) -> None:
    init(folder)
    run("draft", folder / "digits.artifact", *places(folder))

    asked = run("sign", *places(folder), "--keys", folder / "keys")

    digest = Repository.open(folder / "repository").drafted()[0].digest
    assert asked.exit_code == 2
    assert "+ release digits@1.0.0 for raspberry-pi-4, counter 1" in asked.output
    assert digest in asked.output
    assert "run it again with --yes" in asked.output
    assert Repository.open(folder / "repository").releases() == ()


def test_keys_show_says_who_holds_what(folder: Path) -> None:
    init(folder)

    shown = CliRunner().invoke(keys, ["show", *map(str, places(folder))])
    plain = json.loads(CliRunner().invoke(keys, ["show", *map(str, places(folder)), "--json"]).output)

    assert shown.output.startswith("root           1 of 1  version 1 until ")
    assert [role["role"] for role in plain["roles"]] == ["root", "targets", "online", "director-root", "director"]


def test_a_drill_fails_where_one_loss_is_fatal(folder: Path) -> None:
    init(folder)

    drilled = CliRunner().invoke(keys, ["drill", *map(str, places(folder))])

    assert drilled.exit_code == 1
    assert "1 of 1: losing one key ends this repository" in drilled.output


def test_a_threshold_is_written_as_role_and_number(folder: Path) -> None:
    server = ("--online", folder / "online.pub.json", "--director", folder / "director.pub.json")

    made = run("init", *places(folder), "--keys", folder / "keys", *server, "--threshold", "two")

    assert made.exit_code == 2
    assert "write ROLE=N, as in root=2" in made.output


def test_a_revoked_release_is_shown_before_it_is_signed_away(folder: Path) -> None:
    init(folder)
    run("draft", folder / "digits.artifact", *places(folder))
    sign(folder)

    revoked = run("revoke", "digits@1.0.0", "--and-older", *places(folder), passphrase=None)
    signed = sign(folder)

    assert "will go out of targets once that is signed" in revoked.output
    assert "- release digits@1.0.0" in signed.output
    assert "+ floor: devices install no digits with a counter under 2 any more" in signed.output


def test_what_is_told_of_a_file_gives_the_terminal_no_commands(folder: Path) -> None:
    init(folder)
    hostile = folder / "copy\x1b[6A\x1b[J\u202e"
    shutil.copytree(folder / "repository", hostile)

    told = run("init", "--repository", hostile / "new\nroot version 2", *_init_options(folder))

    assert "copy\\x1b[6A\\x1b[J\\u202e/new\\nroot version 2" in told.output
    assert all(line.isprintable() for line in told.output.splitlines())


def test_a_merge_names_what_waits_and_nobody_has_signed(folder: Path) -> None:
    init(folder)
    copy = folder / "copy"
    shutil.copytree(folder / "repository", copy)
    other = CryptoSigner.generate_ed25519()
    write_public(folder / "targets.pub.json", other)
    CliRunner().invoke(keys, ["add", "targets", "--key", str(folder / "targets.pub.json"), "--repository", str(copy)])

    told = run("merge", copy, *places(folder))

    assert "→ root as the copy proposes it waits here; nobody has signed it" in told.output
