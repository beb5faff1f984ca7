"""The keys of a person: made once, encrypted at rest, each for one role.

Private halves are ed25519 in encrypted PKCS#8 files, mode 0600, or stay in a PKCS#11 token (``hardware``); the folder
is one that no server, agent or optimizer needs. Public halves lie beside them as JSON, in the same form as the server's
``online.pub.json``: ``{"keyid", "keytype", "scheme", "public", "holder"}``. ``public`` is hexadecimal for ed25519 and
PEM for ECDSA P-256. A keyid is always computed from the key, so that no key has two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import parse_group_name
from signing.durable_file import create_private, write_durably
from signing.errors import KeyExists, KeyMissing, KeyUnreadable, RoleUnknown, WeakPassphrase, WrongKey, WrongPassphrase

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from securesystemslib.signer import Key, Signer, SSlibKey

MIN_PASSPHRASE_LENGTH = 8
HOLDER_LIMIT = 64
HOLDER_FIELD = "x-edgeship-holder"
"""Field of a key in signed metadata: who holds its private half, as that person said when making it."""
ED25519 = ("ed25519", "ed25519")
ECDSA_P256 = ("ecdsa", "ecdsa-sha2-nistp256")


class KeyRole(StrEnum):
    """What an offline key is for; beside these, each team (a delegated role) has keys of its own."""

    ROOT = "root"
    """Names the keys of the model repository's roles; needed once a year and when a key is lost."""
    TARGETS = "targets"
    """Signs releases of models that no team owns, and names the teams."""
    DIRECTOR_ROOT = "director-root"
    """Names the server's key that tells each device what to run."""


SERVER_ROLES = frozenset({"online", "director", "snapshot", "timestamp"})
"""Roles whose keys the fleet server holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public half of a key, and who holds the private one (empty: not said)."""

    keyid: str
    keytype: str
    scheme: str
    public: str
    holder: str = ""

    @property
    def words(self) -> str:
        """The key as a person is told of it: the holder, and enough of the keyid to tell two apart."""
        return f"{self.holder} ({self.keyid[:10]})" if self.holder else self.keyid[:10]


def parse_team(text: str) -> str:
    """Return the name of a team.

    Raises:
        RoleUnknown: not a slug, or the name of a role that is not delegated.
    """
    if text in SERVER_ROLES or text in set(KeyRole):
        raise RoleUnknown(f"{text!r} is a role of its own and cannot name a team; choose another name")
    try:
        return parse_group_name(text)
    except InvalidId as error:
        raise RoleUnknown(f"team {text!r}: use lower-case letters, digits and '-', at most 63 characters") from error


def parse_offline_role(text: str) -> str:
    """Return the role that a person's key is for: one of ``KeyRole``, or a team.

    Raises:
        RoleUnknown: it is the server's, or no name at all.
    """
    return text if text in set(KeyRole) else parse_team(text)


def init_keys(
    folder: Path, passphrase: str, *, roles: Sequence[str] = tuple(KeyRole), holder: str = ""
) -> dict[str, PublicKey]:
    """Create one key for each role in the folder and return their public halves.

    Raises:
        WeakPassphrase: fewer than 8 characters.
        KeyExists: one of the files is there already; nothing was written.
        KeyUnreadable: no terminal could show the holder's name.
        OSError: the folder cannot be written or is full; no key is left.
    """
    if len(passphrase) < MIN_PASSPHRASE_LENGTH:
        raise WeakPassphrase(f"a passphrase needs at least {MIN_PASSPHRASE_LENGTH} characters; choose a longer one")
    _check_holder(holder, "--holder")
    for role in roles:
        check_free(folder, role)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: dict[str, PublicKey] = {}
    try:
        for role in roles:
            made[role] = _create(folder, role, passphrase, holder=holder)
    except OSError:
        for role in made:
            private_path(folder, role).unlink()
            public_path(folder, role).unlink()
        raise
    return made


def check_free(folder: Path, role: str) -> None:
    """Accept a role for which the folder has no key yet.

    Raises:
        KeyExists: it has one.
    """
    for path in (private_path(folder, role), token_path(folder, role)):
        if path.exists():
            raise KeyExists(f"{path} exists; choose another folder, or move that key away first")


def require_key(folder: Path, role: str) -> None:
    """Return where the folder has a readable key of that role: asked before a passphrase is.

    Raises:
        KeyMissing: no such key file.
        KeyUnreadable: other users of the machine may read it, or this one may not.
    """
    if not token_path(folder, role).exists():
        _read_private(private_path(folder, role))


def held_keys(folder: Path) -> dict[str, PublicKey]:
    """Return the public halves of the keys that the folder can sign with, by role; no passphrase is needed.

    Raises:
        KeyMissing: the folder holds no key.
        KeyUnreadable: a key file that others may read, or a public half that is none.
    """
    files = (*folder.glob("*.pem"), *folder.glob("*.token.json"))
    roles = sorted({path.name.partition(".")[0] for path in files})
    if not roles:
        raise KeyMissing(f"no key in {folder}; make keys with 'edgeship keys init {folder}'")
    for role in roles:
        require_key(folder, role)
    return {role: read_public_key(public_path(folder, role)) for role in roles}


def load_signer(folder: Path, role: str, passphrase: str) -> Signer:
    """Return the signer whose private key the passphrase (of a token: the PIN) opens.

    Raises:
        KeyMissing: no such key file.
        KeyUnreadable: no ed25519 key in it, or other users of the machine may read it.
        WrongPassphrase: it does not open with this passphrase.
        WrongKey: the public half beside it belongs to another key.
    """
    from securesystemslib.signer import CryptoSigner

    if token_path(folder, role).exists():
        from signing.hardware import token_signer

        return token_signer(token_path(folder, role), read_public_key(public_path(folder, role)), pin=passphrase)
    private = _open_private(private_path(folder, role), passphrase)
    known = _public_half(private.public_key())
    beside = public_path(folder, role)
    if beside.exists() and read_public_key(beside).keyid != known.keyid:
        raise WrongKey(f"{role}.pem and {role}.pub.json in {folder} are not one key; copy both from the same place")
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
    _check_holder(key.holder, str(path))
    check_keyid(key, str(path))
    return key


def check_keyid(key: PublicKey, where: str) -> None:
    """Accept a key whose keyid and spelling are the one that its bytes have, so that no key counts twice.

    Raises:
        KeyUnreadable: another keyid or spelling, or a kind of key that is not used here.
    """
    known = _computed(key)
    if (known.keyid, known.keyval["public"]) != (key.keyid, key.public):
        raise KeyUnreadable(f"{where}: keyid {key.keyid[:16]} is not that of the key; fetch the file again")


def tuf_key(key: PublicKey) -> SSlibKey:
    """Return the key as TUF metadata carry it, under its own keyid."""
    from securesystemslib.signer import SSlibKey

    told = {HOLDER_FIELD: key.holder} if key.holder else {}
    return SSlibKey(key.keyid, key.keytype, key.scheme, {"public": key.public}, told)


def public_of(key: Key) -> PublicKey:
    """Return the key that TUF metadata carry; a holder that no terminal could show is left out."""
    holder = str(key.unrecognized_fields.get(HOLDER_FIELD, ""))
    return PublicKey(
        keyid=key.keyid,
        keytype=key.keytype,
        scheme=key.scheme,
        public=str(key.keyval.get("public", "")),
        holder=holder if len(holder) <= HOLDER_LIMIT and holder.isprintable() else "",
    )


def write_public_key(path: Path, key: PublicKey) -> None:
    """Make the file hold the public key."""
    write_durably(path, json.dumps(to_plain(key), indent=2).encode() + b"\n")


def private_path(folder: Path, role: str) -> Path:
    """Return where the private half lies."""
    return folder / f"{role}.pem"


def token_path(folder: Path, role: str) -> Path:
    """Return where it is noted that the private half is in a PKCS#11 token."""
    return folder / f"{role}.token.json"


def public_path(folder: Path, role: str) -> Path:
    """Return where the public half lies."""
    return folder / f"{role}.pub.json"


def _create(folder: Path, role: str, passphrase: str, *, holder: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))
    known = _public_half(private.public_key())
    public = PublicKey(
        keyid=known.keyid,
        keytype=known.keytype,
        scheme=known.scheme,
        public=str(known.keyval["public"]),
        holder=holder,
    )
    create_private(private_path(folder, role), pem)
    try:
        write_public_key(public_path(folder, role), public)
    except OSError:
        private_path(folder, role).unlink()
        raise
    return public


def _open_private(path: Path, passphrase: str) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

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
    return private


def _public_half(key: Ed25519PublicKey | EllipticCurvePublicKey) -> SSlibKey:
    from securesystemslib.signer import SSlibKey

    return SSlibKey.from_crypto(key)


def _computed(key: PublicKey) -> SSlibKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    kind = (key.keytype, key.scheme)
    try:
        if kind == ED25519:
            return _public_half(Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public)))
        if kind == ECDSA_P256:
            loaded = load_pem_public_key(key.public.encode())
            if isinstance(loaded, EllipticCurvePublicKey) and isinstance(loaded.curve, SECP256R1):
                return _public_half(loaded)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable(f"key {key.keyid[:16]}: {error}") from error
    raise KeyUnreadable(
        f"key {key.keyid[:16]} is {key.keytype}/{key.scheme}; only ed25519 and ECDSA P-256 keys are used here"
    )


def _check_holder(holder: str, where: str) -> None:
    if len(holder) > HOLDER_LIMIT or not holder.isprintable():
        raise KeyUnreadable(f"{where}: a holder's name is at most {HOLDER_LIMIT} printable characters; shorten it")


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
