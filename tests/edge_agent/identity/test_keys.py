"""The device's key: made once, kept private, never lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import AttributeOID

from edge_agent.errors import KeyExposed, StateError
from edge_agent.identity.keys import device_key


def test_the_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    first = device_key(tmp_path / "state").public_hex

    assert device_key(tmp_path / "state").public_hex == first
    assert (tmp_path / "state" / "device.key").stat().st_mode & 0o777 == 0o600


def test_two_devices_have_two_keys(tmp_path: Path) -> None:
    assert device_key(tmp_path / "a").public_hex != device_key(tmp_path / "b").public_hex


def test_what_the_key_signs_its_public_half_verifies(tmp_path: Path) -> None:
    key = device_key(tmp_path)

    signature = key.sign(b"report")

    Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public_hex)).verify(signature, b"report")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    device_key(tmp_path)
    (tmp_path / "device.key").chmod(0o644)

    with pytest.raises(KeyExposed, match="chmod 600"):
        device_key(tmp_path)


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    device_key(tmp_path)
    (tmp_path / "device.key").write_text("not hexadecimal")

    with pytest.raises(StateError, match="holds no key"):
        device_key(tmp_path)


def test_a_certificate_request_is_signed_by_the_key_over_the_nonce_and_names_nobody(tmp_path: Path) -> None:
    key = device_key(tmp_path)

    request = x509.load_pem_x509_csr(key.certificate_request(nonce="fresh").encode())

    public = request.public_key()
    assert isinstance(public, Ed25519PublicKey)
    assert (request.is_signature_valid, public.public_bytes_raw().hex()) == (True, key.public_hex)
    assert request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value == b"fresh"
    assert list(request.subject) == []
