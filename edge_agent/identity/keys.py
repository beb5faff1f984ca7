"""The device's ed25519 key: one for reports, certificates and TLS. Its private half never leaves the state folder.

STATE/device.key        the seed, hexadecimal, mode 0600
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from edge_agent.errors import KeyExposed, StateError
from edge_agent.state_folder import StateFolder, keep_private

if TYPE_CHECKING:
    from pathlib import Path


class DeviceKey:
    """The device's private key; it can sign and say its public half."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def sign(self, data: bytes) -> bytes:
        """Return the ed25519 signature, 64 bytes."""
        return self._key.sign(data)

    @property
    def public_hex(self) -> str:
        """The raw public key, 64 hexadecimal characters."""
        return self._key.public_key().public_bytes_raw().hex()

    def certificate_request(self, *, nonce: str = "") -> str:
        """Return a PKCS #10 request, PEM; the nonce, where there is one, is its challenge password.

        It names nobody: who the device is, the server knows by the token or by the key.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import AttributeOID

        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        if nonce:
            builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, nonce.encode("ascii"))
        return builder.sign(self._key, None).public_bytes(Encoding.PEM).decode("ascii")

    def private_pem(self) -> bytes:
        """Return the private key as PEM, as TLS reads it; for the state folder alone."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def device_key(state_dir: Path) -> DeviceKey:
    """Return the device's key; the first call makes it.

    Raises:
        KeyExposed: others may read the file.
        StateError: the file is damaged or cannot be written.
    """
    path = StateFolder(state_dir).device_key
    try:
        keep_private(state_dir)
        if not path.exists():
            _make_key(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyExposed(f"{path} may be read by others than its owner; run: chmod 600 {path}")
        return DeviceKey(bytes.fromhex(path.read_text("ascii").strip()))
    except OSError as error:
        raise StateError(f"cannot use {path}: {error.strerror}; check the folder's owner and room") from error
    except ValueError as error:
        raise StateError(f"{path} holds no key; restore it, or remove it and enroll the device again") from error


def _make_key(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex())
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # half a key would pass for one that was lost
        raise
