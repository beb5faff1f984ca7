"""One key, one id, one spelling: as securesystemslib computes them, and nothing else."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import SSlibKey

from contracts.errors import InvalidId
from contracts.keys import check_key

P256 = ec.derive_private_key(7, ec.SECP256R1()).public_key()
ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()


def _computed(public: str, keytype: str, scheme: str) -> SSlibKey:
    """Return the key as spelt, under the id that belongs to that spelling."""
    from securesystemslib.signer._utils import compute_default_keyid

    keyval = {"public": public}
    return SSlibKey(compute_default_keyid(keytype, scheme, keyval), keytype, scheme, keyval)


def _compressed() -> SSlibKey:
    point = P256.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    der = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    body = base64.encodebytes(der).decode()
    return _computed(f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n", "ecdsa", "ecdsa-sha2-nistp256")


def _respelt(old: str, new: str) -> SSlibKey:
    public = str(SSlibKey.from_crypto(P256).keyval["public"])
    return _computed(public.replace(old, new, 1), "ecdsa", "ecdsa-sha2-nistp256")


@pytest.mark.parametrize("known", [SSlibKey.from_crypto(ED25519), SSlibKey.from_crypto(P256)])
def test_a_key_in_its_one_spelling_under_its_own_id_is_taken(known: SSlibKey) -> None:
    check_key(known.keyid, known.keytype, known.scheme, known.keyval)


@pytest.mark.parametrize(
    "twin",
    [
        _compressed(),
        _respelt("\n", "\r\n"),
        _respelt("-----END", " -----END"),
        _respelt("-----BEGIN", "x\n-----BEGIN"),
        _computed(ED25519.public_bytes_raw().hex().upper(), "ed25519", "ed25519"),
        _computed(ED25519.public_bytes_raw().hex() + "\n", "ed25519", "ed25519"),
        SSlibKey.from_crypto(ec.derive_private_key(7, ec.SECP384R1()).public_key()),
        SSlibKey.from_crypto(rsa.generate_private_key(65537, 2048).public_key()),
        SSlibKey("f" * 64, "ed25519", "ed25519", {"public": ED25519.public_bytes_raw().hex()}),
        SSlibKey(
            SSlibKey.from_crypto(ED25519).keyid,
            "ed25519",
            "ed25519",
            {"public": ED25519.public_bytes_raw().hex(), "private": ""},
        ),
    ],
)
def test_another_spelling_or_id_of_a_key_is_refused(twin: SSlibKey) -> None:
    with pytest.raises(InvalidId, match="edgeship keys init"):
        check_key(twin.keyid, twin.keytype, twin.scheme, twin.keyval)
