"""A key in a PKCS#11 token: made and kept there, it signs releases like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from signing.ceremony.founding import Founding
from signing.errors import KeyUnreadable, TokenUnusable
from signing.hardware import enroll_token, token_signer
from signing.keys import check_keyid, public_of
from tests.signing.repositories import an_artifact, public_half
from tests.signing.test_cli import write_public

LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "123456 or more"
MAKE_KEY = """
import sys
import pkcs11, pkcs11.util.ec
token = pkcs11.lib(sys.argv[1]).get_token(token_label="offline")
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    curve = {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")}
    domain = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
    for number in range(1, 4):
        domain.generate_keypair(store=True, id=bytes([number]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """The environment in which SoftHSM has one token with three P-256 keys."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    environment = {
        **os.environ,
        "SOFTHSM2_CONF": str(tmp_path / "softhsm.conf"),
        "PYKCS11LIB": LIBRARY,
        "EDGESHIP_KEY_PASSPHRASE": PIN,
    }
    made = ["softhsm2-util", "--init-token", "--free", "--label", "offline", "--so-pin", "12345678", "--pin", PIN]
    subprocess.run(made, env=environment, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", MAKE_KEY, LIBRARY, PIN], env=environment, check=True)
    return environment


def edgeship(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type the arguments after ``edgeship`` in the folder."""
    command = [sys.executable, "-m", "edgeship", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def enrolled(folder: Path, environment: Mapping[str, str]) -> None:
    """Enroll the token's three keys for the three roles, and make a repository with them."""
    for number, role in enumerate(("root", "targets", "director-root"), start=1):
        words = ("keys", "init", "keys", "--role", role, "--token", "offline", "--token-key", str(number))
        made = edgeship(folder, environment, *words)
        assert made.returncode == 0, made.stderr
    for name in ("online", "director"):
        write_public(folder / f"{name}.pub.json", CryptoSigner.generate_ed25519())
    server = ("--online", "online.pub.json", "--director", "director.pub.json")
    founded = edgeship(folder, environment, "release", "init", "--keys", "keys", *server)
    assert founded.returncode == 0, founded.stderr


@pytest.mark.slow
@pytest.mark.system
def test_a_release_is_signed_with_keys_that_never_leave_the_token(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    enrolled(tmp_path, environment)
    (tmp_path / "digits.artifact").write_bytes(an_artifact())

    edgeship(tmp_path, environment, "release", "draft", "digits.artifact")
    signed = edgeship(tmp_path, environment, "release", "sign", "--keys", "keys", "--yes")
    verified = edgeship(tmp_path, environment, "release", "verify")

    assert "✓ signed digits@1.0.0" in signed.stdout, signed.stderr
    assert verified.returncode == 0, verified.stderr
    assert sorted(path.suffixes[0] for path in (tmp_path / "keys").iterdir()) == [".pub"] * 3 + [".token"] * 3


@pytest.mark.slow
@pytest.mark.system
def test_a_wrong_pin_signs_nothing_and_is_one_line(tmp_path: Path, environment: Mapping[str, str]) -> None:
    enrolled(tmp_path, environment)
    (tmp_path / "digits.artifact").write_bytes(an_artifact())
    edgeship(tmp_path, environment, "release", "draft", "digits.artifact")

    wrong = {**environment, "EDGESHIP_KEY_PASSPHRASE": "999999"}
    signed = edgeship(tmp_path, wrong, "release", "sign", "--keys", "keys", "--yes")

    assert signed.returncode == 1
    assert "PIN" in signed.stderr
    assert signed.stderr.count("\n") == 1


def test_a_token_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKCS11LIB", str(tmp_path / "none.so"))

    with pytest.raises(TokenUnusable, match="token none, key 2"):
        enroll_token(tmp_path / "keys", "root", label="none", number=2, holder="")

    assert not (tmp_path / "keys").exists()


def test_a_note_of_no_token_is_named(tmp_path: Path) -> None:
    path = tmp_path / "root.token.json"
    path.write_text("{}")

    with pytest.raises(KeyUnreadable, match="notes no token"):
        token_signer(path, public_half(CryptoSigner.generate_ed25519()), pin="")


def test_ecdsa_keys_take_part_beside_ed25519_keys() -> None:
    ecdsa, names = CryptoSigner.generate_ecdsa(), ("targets", "director-root", "online", "director")
    others = {role: (public_half(CryptoSigner.generate_ed25519()),) for role in names}

    founding = Founding(keys={"root": (public_of(ecdsa.public_key),), **others})

    check_keyid(founding.keys["root"][0], "here")
    assert founding.keys["root"][0].scheme == "ecdsa-sha2-nistp256"
