"""A public key has one id and one spelling [wire-9.2].

TUF metadata name keys by ids, and thresholds count ids. A key with two ids, or one id for each of two spellings
(compressed and not, upper and lower case), would count twice; so the id is computed from the one spelling, and every
other is refused. Nothing here does cryptography: whether a point lies on its curve shows when a signature is verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

from contracts.errors import InvalidId

ED25519 = ("ed25519", "ed25519")
ECDSA_P256 = ("ecdsa", "ecdsa-sha2-nistp256")

_ED25519_PUBLIC = re.compile(r"[0-9a-f]{64}")
_P256_UNCOMPRESSED = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04"
"""What every uncompressed P-256 key begins with in DER (RFC 5480); its two coordinates follow."""
_P256_BYTES = len(_P256_UNCOMPRESSED) + 64


def check_key(keyid: str, keytype: str, scheme: str, keyval: Mapping[str, object]) -> None:
    """Return where a key of signed metadata is ed25519 or ECDSA P-256, in its one spelling, under its own id.

    Raises:
        InvalidId: it is not.
    """
    public = keyval.get("public")
    if set(keyval) != {"public"} or not isinstance(public, str) or not _is_spelt(keytype, scheme, public):
        raise InvalidId(
            "key",
            f"{keyid[:16]} ({keytype[:20]})",
            "64 lower-case hexadecimal digits of an ed25519 key, or an uncompressed ECDSA P-256 key in PEM, as "
            "'edgeship keys init' writes them",
        )
    if keyid != _id_of(keytype, scheme, public):
        raise InvalidId("key id", keyid[:16], "the SHA-256 of the key, as 'edgeship keys init' writes it")


def _is_spelt(keytype: str, scheme: str, public: str) -> bool:
    if (keytype, scheme) == ED25519:
        return _ED25519_PUBLIC.fullmatch(public) is not None
    return (keytype, scheme) == ECDSA_P256 and _is_p256(public)


def _is_p256(pem: str) -> bool:
    try:
        der = base64.b64decode("".join(pem.split("\n")[1:-2]), validate=True)
    except (ValueError, binascii.Error):
        return False
    return der.startswith(_P256_UNCOMPRESSED) and len(der) == _P256_BYTES and pem == _pem(der)


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _id_of(keytype: str, scheme: str, public: str) -> str:
    """Return the SHA-256 of the key's canonical JSON; what is spelt as above needs no escapes there."""
    canonical = f'{{"keytype":"{keytype}","keyval":{{"public":"{public}"}},"scheme":"{scheme}"}}'
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
