"""One TUF metadata file, read strictly: nothing is verified here but its form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from contracts.metadata import LIMITS_BYTES, MetadataName
from fleet_server.errors import ReleaseRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from securesystemslib.signer import Key
    from tuf.api.metadata import Metadata, Root, Targets

DEPTH_LIMIT, NUMBER_LIMIT = 16, 2**53
"""What devices parse, and no more [wire-9.1]."""

_Kind = TypeVar("_Kind", "Root", "Targets")


def read_root(text: str) -> Metadata[Root]:
    """Return the root metadata that the text is.

    Raises:
        ReleaseRefused: too long, no root, not in the one spelling, or one key stands in it under two names.
    """
    from tuf.api.metadata import Root

    metadata = _read(text, Root, MetadataName.ROOT, "root")
    _refuse_twins(f"root version {metadata.signed.version}", metadata.signed.keys)
    return metadata


def read_targets(text: str, name: str) -> Metadata[Targets]:
    """Return the targets metadata that the text is; ``name`` is the role's, for messages.

    Raises:
        ReleaseRefused: too long, no targets, not in the one spelling, or one key stands in it under two names.
    """
    from tuf.api.metadata import Targets

    metadata = _read(text, Targets, MetadataName.TARGETS, name)
    delegations = metadata.signed.delegations
    if delegations is not None:
        _refuse_twins(f"{name} version {metadata.signed.version}", delegations.keys)
    return metadata


def verify(delegator: Root | Targets, role: str, metadata: Metadata[Root] | Metadata[Targets], *, refusal: str) -> None:
    """Accept metadata that enough of the keys signed which the delegator names for the role.

    Raises:
        ReleaseRefused: too few of them did.
    """
    from tuf.api.exceptions import UnsignedMetadataError

    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise ReleaseRefused(f"{refusal} ({error}); nothing was accepted") from error
    except ValueError as error:
        raise ReleaseRefused(f"{refusal}; nothing was accepted") from error


def _read(text: str, kind: type[_Kind], limit: MetadataName, name: str) -> Metadata[_Kind]:
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError, SerializationError

    data = text.encode(errors="surrogatepass")
    if len(data) > LIMITS_BYTES[limit]:
        raise ReleaseRefused(
            f"{name} metadata of {len(data)} bytes are over the limit of {LIMITS_BYTES[limit]}, which devices keep to"
        )
    try:
        metadata: Metadata[_Kind] = Metadata.from_bytes(data)
        is_as_written = metadata.to_bytes() == data and bool(metadata.signed_bytes)
        _check_bounds(json.loads(data))
    except (DeserializationError, SerializationError, RecursionError, ValueError) as error:
        raise ReleaseRefused(
            f"this is no {name} metadata; send the file as 'edgeship release sign' wrote it"
        ) from error
    if not isinstance(metadata.signed, kind):
        raise ReleaseRefused(f"expected {kind.type} metadata, got {metadata.signed.type}")
    if not is_as_written:
        raise ReleaseRefused(
            f"{name} metadata are not spelt as they were signed; send the file as 'edgeship release sign' wrote it"
        )
    return metadata


def _check_bounds(plain: object, level: int = 0) -> None:
    """Accept what devices read: whole numbers below 2**53, at most DEPTH_LIMIT levels; raise ValueError otherwise."""
    if level > DEPTH_LIMIT or isinstance(plain, float) or (isinstance(plain, int) and abs(plain) >= NUMBER_LIMIT):
        raise ValueError("no device reads this")
    parts = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
    for part in parts:
        _check_bounds(part, level + 1)


def _refuse_twins(where: str, keys: Mapping[str, Key]) -> None:
    """Refuse a file that names one key under two ids: its signature would count twice."""
    values = ["".join(str(key.keyval.get("public", "")).split()).lower() for key in keys.values()]
    if len(values) != len(set(values)):
        raise ReleaseRefused(f"{where} names one key twice; give each signer a key of their own")
