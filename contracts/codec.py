r"""The one door between our dataclasses and bytes: deterministic CBOR in, checked dataclass out.

``encode`` writes canonical CBOR (RFC 8949 4.2.1: shortest form, sorted keys), so equal messages
are equal bytes and can be signed [wire-1.3]. ``decode`` checks every field against its annotation, tolerates
keys it does not know (a newer peer may send more) and refuses everything else with a DecodeError
that names the field [wire-1.2]. What it reads must be canonical too: it is encoded once more and compared,
so that a message has one spelling and nothing hides in bytes left over, in a key written twice or in a longer form.

>>> from contracts.chunks import ChunkRequest
>>> from contracts.ids import digest_of
>>> request = ChunkRequest(index=digest_of(b""), first=0, missing=b"\x0f", credit=4)
>>> decode(ChunkRequest, encode(request)) == request
True
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TypeAlias, TypeVar, Union, get_args, get_origin

import cbor2

from contracts.errors import DecodeError

Plain: TypeAlias = "bool | int | float | str | bytes | list[Plain] | dict[str, Plain] | None"
Message = TypeVar("Message")

__all__ = ["MESSAGE_LIMIT_BYTES", "Plain", "decode", "encode", "from_plain", "to_plain"]

MESSAGE_LIMIT_BYTES = 127 * 1024
"""Longest message on the wire [wire-1.1]: AWS IoT and the default EMQX accept it."""

_DEPTH_LIMIT = 12
_BIGNUMS = (2, 3)
_INTEGER_BITS = 64
"""Bits of the widest integer that a database column or another language can hold, its sign among them."""


def _refuse_tag(*_decoding: object) -> typing.NoReturn:
    raise ValueError("a tag: our messages have none")


_NO_TAGS = {tag: _refuse_tag for tag in (*range(1100), 43000, 55799) if tag not in _BIGNUMS}
"""Every tag that the library would build an object of (a pattern, a fraction, an address) before any field is checked;
bignums stay whole numbers, and are refused by size. Tags that it does not know go to the hook."""


def encode(message: object) -> bytes:
    """Return the canonical CBOR of a dataclass."""
    return cbor2.dumps(to_plain(message), canonical=True)


def decode(kind: type[Message], data: bytes, *, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> Message:
    """Return the dataclass that the bytes hold.

    Raises:
        DecodeError: too long, not CBOR, not canonical (bytes left over, a key twice), a tag, or a field missing or of
            the wrong type.
    """
    if len(data) > limit_bytes:
        raise DecodeError(f"{kind.__name__}: {len(data)} bytes is over the limit of {limit_bytes}")
    try:
        plain = cbor2.loads(data, semantic_decoders=_NO_TAGS, tag_hook=_refuse_tag)
        canonical = cbor2.dumps(plain, canonical=True)
    except (cbor2.CBORError, ValueError, EOFError, OverflowError, RecursionError, TypeError) as error:
        raise DecodeError(f"{kind.__name__}: not CBOR ({error})") from error
    if canonical != data:
        raise DecodeError(f"{kind.__name__}: {len(data)} bytes are not the canonical form of what they hold")
    return from_plain(kind, plain)


def to_plain(value: object) -> Plain:
    """Return the value as maps, lists and scalars; datetimes become ISO 8601 in UTC."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, tuple | list | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def from_plain(kind: type[Message], plain: object) -> Message:
    """Return the dataclass that the maps, lists and scalars spell.

    Raises:
        DecodeError: a field is missing or of the wrong type; the message names its path.
    """
    return typing.cast("Message", _build(kind, plain, kind.__name__, _DEPTH_LIMIT))


@cache
def _fields(kind: type) -> tuple[tuple[str, object, bool], ...]:
    hints = typing.get_type_hints(kind)
    return tuple(
        (
            field.name,
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    )


def _build(kind: typing.Any, plain: object, path: str, depth: int) -> object:
    if depth == 0:
        raise DecodeError(f"{path}: nested too deeply")
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _build_union(kind, plain, path, depth)
    if origin is tuple:
        return _build_tuple(kind, plain, path, depth)
    if origin is not None and issubclass(origin, Mapping):
        return _build_mapping(kind, plain, path, depth)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast("type", kind), plain, path, depth)
    return _build_scalar(kind, plain, path)


def _build_dataclass(kind: type, plain: object, path: str, depth: int) -> object:
    if not isinstance(plain, dict):
        raise DecodeError(f"{path}: expected a map, got {type(plain).__name__}")
    arguments: dict[str, object] = {}
    for name, hint, required in _fields(kind):
        if name in plain:
            arguments[name] = _build(hint, plain[name], f"{path}.{name}", depth - 1)
        elif required:
            raise DecodeError(f"{path}.{name}: missing")
    try:
        return kind(**arguments)
    except ValueError as error:
        raise DecodeError(f"{path}: {error}") from error


def _build_union(kind: object, plain: object, path: str, depth: int) -> object:
    choices = get_args(kind)
    if plain is None and type(None) in choices:
        return None
    failures = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _build(choice, plain, path, depth)
        except DecodeError as error:
            failures.append(str(error))
    raise DecodeError("; ".join(failures) or f"{path}: no form fits")


def _build_tuple(kind: object, plain: object, path: str, depth: int) -> object:
    if not isinstance(plain, list | tuple):
        raise DecodeError(f"{path}: expected a list, got {type(plain).__name__}")
    hints = get_args(kind)
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(plain)
    if len(hints) != len(plain):
        raise DecodeError(f"{path}: expected {len(hints)} items, got {len(plain)}")
    return tuple(
        _build(hint, item, f"{path}[{place}]", depth - 1)
        for place, (hint, item) in enumerate(zip(hints, plain, strict=True))
    )


def _build_mapping(kind: object, plain: object, path: str, depth: int) -> object:
    if not isinstance(plain, dict):
        raise DecodeError(f"{path}: expected a map, got {type(plain).__name__}")
    key_hint, value_hint = get_args(kind)
    return {
        _build(key_hint, key, f"{path} key", depth - 1): _build(value_hint, value, f"{path}.{key}", depth - 1)
        for key, value in plain.items()
    }


def _build_scalar(kind: object, plain: object, path: str) -> object:
    if kind is datetime:
        return _build_datetime(plain, path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(str(plain))
        except ValueError as error:
            raise DecodeError(f"{path}: {error}; give one of {', '.join(kind)}") from error
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return _build_float(plain, path)
    if kind is int and type(plain) is int and plain.bit_length() >= _INTEGER_BITS:
        raise DecodeError(f"{path}: an integer of {plain.bit_length()} bits, expected fewer than {_INTEGER_BITS}")
    if kind in (bool, int, float, str, bytes) and type(plain) is kind:
        return plain
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    raise DecodeError(f"{path}: expected {name}, got {type(plain).__name__}")


def _build_float(plain: int, path: str) -> float:
    try:
        return float(plain)
    except OverflowError as error:
        raise DecodeError(f"{path}: {error}") from error


def _build_datetime(plain: object, path: str) -> datetime:
    if isinstance(plain, str):
        try:
            moment = datetime.fromisoformat(plain)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise DecodeError(f"{path}: {error}") from error
    raise DecodeError(f"{path}: expected an ISO 8601 time with its zone, got {str(plain)[:40]!r}")
