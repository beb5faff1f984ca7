"""The release engineer's two keys: root (names all keys) and targets (signs releases).

Private halves are ed25519 in encrypted PKCS#8 files, mode 0600, in a folder that no server, agent
or optimizer needs. Public halves lie beside them as JSON, in the same form as the server's
``online.pub.json``: ``{"keyid", "keytype", "scheme", "public"}``, the key in hexadecimal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from signing.durable_file import create_private, write_durably
from signing.errors import KeyExists, KeyMissing, KeyUnreadable, WeakPassphrase, WrongPassphrase

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner, SSlibKey

MIN_PASSPHRASE_LENGTH = 8


class KeyRole(StrEnum):
    """What an offline key is for."""

    ROOT = "root"
    """Names the keys of all roles; needed once a year and when a key is lost."""
    TARGETS = "targets"
    """Signs releases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public half of a key; ``public`` is the raw key, 64 hexadecimal characters."""

    keyid: str
    keytype: str
    scheme: str
    public: str


def init_keys(folder: Path, passphrase: str) -> dict[KeyRole, PublicKey]:
    """Create the root and the targets key in the folder and return their public halves.

    Raises:
        WeakPassphrase: fewer than 8 characters.
        KeyExists: one of the files is there already; nothing was written.
        OSError: the folder cannot be written or is full; no key is left.
    """
    if len(passphrase) < MIN_PASSPHRASE_LENGTH:
        raise WeakPassphrase(f"a passphrase needs at least {MIN_PASSPHRASE_LENGTH} characters; choose a longer one")
    for role in KeyRole:
        if private_path(folder, role).exists():
            raise KeyExists(f"{private_path(folder, role)} exists; choose another folder, or move that key away first")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: dict[KeyRole, PublicKey] = {}
    try:
        for role in KeyRole:
            made[role] = _create(folder, role, passphrase)
    except OSError:
        for role in made:
            private_path(folder, role).unlink()
            public_path(folder, role).unlink()
        raise
    return made


def require_key(folder: Path, role: KeyRole) -> None:
    """Return where the folder has a readable key file of that role: asked before a passphrase is.

    Raises:
        KeyMissing: no such key file.
        KeyUnreadable: other users of the machine may read it, or this one may not.
    """
    _read_private(private_path(folder, role))


def load_signer(folder: Path, role: KeyRole, passphrase: str) -> CryptoSigner:
    """Return the signer whose private key the passphrase opens.

    Raises:
        KeyMissing: no such key file.
        KeyUnreadable: no ed25519 key in it, or other users of the machine may read it.
        WrongPassphrase: it does not open with this passphrase.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    path = private_path(folder, role)
    pem = _read_private(path)
    if b"ENCRYPTED PRIVATE KEY" not in pem:
        raise KeyUnreadable(f"{path} is no encrypted key; make keys with 'edgeship keys init FOLDER'")
    try:
        private = load_pem_private_key(pem, passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # cryptography reports a wrong passphrase and a damaged file alike
        raise WrongPassphrase(
            f"the passphrase does not open {path}; set EDGESHIP_KEY_PASSPHRASE to the one given to 'edgeship keys init'"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyUnreadable(f"{path} holds no ed25519 key; make keys with 'edgeship keys init FOLDER'")
    return CryptoSigner(private)


def read_public_key(path: Path) -> PublicKey:
    """Return the public key in the file.

    Raises:
        KeyMissing: no such file.
        KeyUnreadable: not a public key of ours, or its keyid is not that of the key.
    """
    try:
        key = from_plain(PublicKey, json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise KeyMissing(
            f"no public key at {path}; 'edgeship keys init' and 'edgeship server init' write them"
        ) from error
    except (OSError, ValueError, DecodeError) as error:
        raise KeyUnreadable(f"{path} is no public key: {error}") from error
    if _public_of(key).keyid != key.keyid:
        raise KeyUnreadable(f"{path}: keyid {key.keyid[:16]} is not that of the key; fetch the file again")
    return key


def tuf_key(key: PublicKey) -> SSlibKey:
    """Return the key as TUF metadata carry it, under its own keyid."""
    from securesystemslib.signer import SSlibKey

    return SSlibKey(key.keyid, key.keytype, key.scheme, {"public": key.public})


def private_path(folder: Path, role: KeyRole) -> Path:
    """Return where the private half lies."""
    return folder / f"{role}.pem"


def public_path(folder: Path, role: KeyRole) -> Path:
    """Return where the public half lies."""
    return folder / f"{role}.pub.json"


def _create(folder: Path, role: KeyRole, passphrase: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
    from securesystemslib.signer import SSlibKey

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))
    known = SSlibKey.from_crypto(private.public_key())
    public = PublicKey(
        keyid=known.keyid, keytype=known.keytype, scheme=known.scheme, public=str(known.keyval["public"])
    )
    create_private(private_path(folder, role), pem)
    try:
        write_durably(public_path(folder, role), json.dumps(to_plain(public), indent=2).encode() + b"\n")
    except OSError:
        private_path(folder, role).unlink()
        raise
    return public


def _public_of(key: PublicKey) -> SSlibKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey

    if (key.keytype, key.scheme) != ("ed25519", "ed25519"):
        raise KeyUnreadable(f"key {key.keyid[:16]} is {key.keytype}/{key.scheme}; only ed25519 keys are used here")
    try:
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public)))
    except ValueError as error:
        raise KeyUnreadable(f"key {key.keyid[:16]}: {error}") from error


def _read_private(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise KeyMissing(f"no key at {path}; make one with 'edgeship keys init {path.parent}'") from error
    except OSError as error:
        raise KeyUnreadable(f"cannot read {path}: {error.strerror}; give the folder of 'edgeship keys init'") from error
    if mode & 0o077:
        raise KeyUnreadable(f"other users of this machine may read {path}; run: chmod 600 {path}")
    return pem
