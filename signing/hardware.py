"""Keys in a PKCS#11 token (a YubiKey, an HSM): the private half never leaves it.

The token holds an ECDSA P-256 key, made with its own tools. ``ROLE.token.json`` in the key folder notes which token and
which key; PYKCS11LIB names the token's library. securesystemslib's ``HSMSigner`` does the work, with python-pkcs11 (the
extra ``pkcs11``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from signing.durable_file import write_durably
from signing.errors import KeyRefused, KeyUnreadable, TokenUnusable
from signing.keys import (
    ECDSA_P256,
    check_free,
    check_keyid,
    public_of,
    public_path,
    token_path,
    tuf_key,
    write_public_key,
)

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import Signer

    from signing.keys import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """Which key of which token, as securesystemslib spells it."""

    uri: str


def enroll_token(folder: Path, role: str, *, label: str, number: int, holder: str) -> PublicKey:
    """Note in the folder that the role's key is that one in the token, and return its public half.

    Raises:
        KeyExists: the folder has a key of that role.
        TokenUnusable: no such token or key, or no library for tokens.
        KeyRefused: the token's key is of a kind that is not used here.
    """
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import HSMSigner

    check_free(folder, role)
    try:
        uri, key = HSMSigner.import_(number, label)
    except UnsupportedLibraryError as error:
        raise TokenUnusable("tokens need python-pkcs11: run pip install 'edgeship[pkcs11]'") from error
    except (ValueError, RuntimeError) as error:  # PKCS11Error is a RuntimeError
        raise TokenUnusable(f"token {label}, key {number}: {error!r}; plug it in, and set PYKCS11LIB") from error
    public = replace(public_of(key), holder=holder)
    if (public.keytype, public.scheme) != ECDSA_P256:
        raise KeyRefused(f"token {label}, key {number} is {public.scheme}; make an ECDSA P-256 key in it")
    check_keyid(public, f"token {label}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_public_key(public_path(folder, role), public)
    write_durably(token_path(folder, role), json.dumps(to_plain(_Token(uri=uri)), indent=2).encode() + b"\n")
    return public


def token_signer(path: Path, key: PublicKey, *, pin: str) -> Signer:
    """Return the signer that asks the token noted in the file.

    Raises:
        KeyUnreadable: the file notes no token.
        TokenUnusable: there is no library for tokens.
    """
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import HSMSigner

    try:
        token = from_plain(_Token, json.loads(path.read_bytes()))
        return HSMSigner.from_priv_key_uri(token.uri, tuf_key(key), lambda _: pin)
    except UnsupportedLibraryError as error:
        raise TokenUnusable("tokens need python-pkcs11: run pip install 'edgeship[pkcs11]'") from error
    except (OSError, ValueError, DecodeError) as error:
        raise KeyUnreadable(f"{path} notes no token: {error}; make it with 'edgeship keys init'") from error
