"""One TUF metadata file, read strictly: nothing is verified here but its form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from contracts.errors import InvalidId
from contracts.keys import check_key
from contracts.metadata import DEPTH_LIMIT, LIMITS_BYTES, NUMBER_LIMIT, MetadataName
from fleet_server.errors import ReleaseRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from securesystemslib.signer import Key
    from tuf.api.metadata import Metadata, Root, Targets

_Kind = TypeVar("_Kind", "Root", "Targets")


def read_root(text: str) -> Metadata[Root]:
    """Return the root metadata that the text is.

    Raises:
        ReleaseRefused: too long, no root, not in the one spelling, or a key is not under its own name.
    """
    from tuf.api.metadata import Root

    metadata = _read(text, Root, MetadataName.ROOT, "root")
    _check_keys(f"root version {metadata.signed.version}", metadata.signed.keys)
    return metadata


def read_targets(text: str, name: str) -> Metadata[Targets]:
    """Return the targets metadata that the text is; ``name`` is the role's, for messages.

    Raises:
        ReleaseRefused: too long, no targets, not in the one spelling, or a key is not under its own name.
    """
    from tuf.api.metadata import Targets

    metadata = _read(text, Targets, MetadataName.TARGETS, name)
    delegations = metadata.signed.delegations
    if delegations is not None:
        _check_keys(f"{name} version {metadata.signed.version}", delegations.keys)
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


def _check_bounds(plain: object, outside: int = 0) -> None:
    """Accept what devices read: whole numbers below NUMBER_LIMIT, at most DEPTH_LIMIT maps and lists in each other.

    ``outside`` is how many maps and lists are around this one. Raises ValueError otherwise.
    """
    if isinstance(plain, float) or (isinstance(plain, int) and abs(plain) >= NUMBER_LIMIT):
        raise ValueError("no device reads this number")
    if not isinstance(plain, dict | list):
        return
    if outside >= DEPTH_LIMIT:
        raise ValueError("no device reads so deep")
    for part in plain.values() if isinstance(plain, dict) else plain:
        _check_bounds(part, outside + 1)


def _check_keys(where: str, keys: Mapping[str, Key]) -> None:
    """Refuse a file with a key under another id or in another spelling than its own: it could count twice."""
    for keyid, key in keys.items():
        try:
            check_key(keyid, key.keytype, key.scheme, key.keyval)
        except InvalidId as error:
            raise ReleaseRefused(f"{where} could count a key twice: {error}") from error
