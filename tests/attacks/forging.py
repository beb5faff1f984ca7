"""Artifacts that an attacker would write: any header in front of the members of a good one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cbor2

from contracts.artifact import MAGIC, read_artifact_header
from contracts.codec import to_plain


def with_header(data: bytes, plain: object) -> bytes:
    """Return the artifact with that header in place of its own, spelt canonically."""
    return with_header_bytes(data, cbor2.dumps(plain, canonical=True))


def with_header_bytes(data: bytes, header: bytes) -> bytes:
    """Return the artifact with those bytes in place of its header."""
    _, start = read_artifact_header(data)
    return MAGIC + len(header).to_bytes(4, "little") + header + data[start:]


def forged(data: bytes, change: Callable[[Any], object]) -> bytes:
    """Return the artifact with its header changed in place."""
    header: Any = to_plain(read_artifact_header(data)[0])
    change(header)
    return with_header(data, header)
