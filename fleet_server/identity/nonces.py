"""Proof of freshness without a table: a nonce says until when it counts, and only this server can have made it.

Any process of the server can check what another one gave out. That one is used once is the database's part: the
certificate that it brought carries it (``store.record_certificate``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from fleet_server.errors import RenewalRefused
from fleet_server.identity.authority import Authority

LIFE = timedelta(minutes=5)
_PURPOSE = b"renewal nonce"


def new_nonce(authority: Authority, now: datetime) -> str:
    """Return a nonce that counts for five minutes."""
    stated = f"{int((now + LIFE).timestamp()):x}.{secrets.token_hex(16)}"
    return f"{stated}.{_seal(authority, stated)}"


def check_nonce(authority: Authority, nonce: str, now: datetime) -> None:
    """Accept a nonce of ours that still counts.

    Raises:
        RenewalRefused: it is none of ours, or too old.
    """
    stated, _, seal = nonce.rpartition(".")
    if not hmac.compare_digest(seal.encode(), _seal(authority, stated).encode()):
        raise RenewalRefused("the nonce is not this server's; ask for a new one")
    if int(stated.partition(".")[0], 16) < now.timestamp():
        raise RenewalRefused("the nonce is too old; ask for a new one")


def _seal(authority: Authority, stated: str) -> str:
    return hmac.new(authority.derived_key(_PURPOSE), stated.encode(), hashlib.sha256).hexdigest()
