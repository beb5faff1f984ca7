"""Documents of an artifact: JSON in one spelling, so that equal content is equal bytes [artifact-3.3]."""

from __future__ import annotations

import json
from typing import TypeVar

from contracts.codec import Plain, from_plain, to_plain
from contracts.errors import ArtifactError, DecodeError

Kind = TypeVar("Kind")


def write_json(plain: object) -> bytes:
    """Return the JSON of plain maps, lists and scalars: sorted keys, UTF-8, no NaN, one line feed at the end.

    Raises:
        ArtifactError: a number is none.
    """
    try:
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    except ValueError as error:
        raise ArtifactError(f"a document cannot be written: {error}; give finite numbers") from error
    return text.encode("utf-8") + b"\n"


def write_document(value: object) -> bytes:
    """Return the JSON of a dataclass."""
    return write_json(to_plain(value))


def read_json(data: bytes) -> Plain:
    """Return what the JSON holds.

    Raises:
        ArtifactError: it is none, nested too deeply, or holds a number that is none.
    """
    try:
        plain: Plain = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"a document of the artifact is no JSON ({error}); pack it again") from error
    return plain


def read_document(kind: type[Kind], data: bytes) -> Kind:
    """Return the dataclass that the JSON spells.

    Raises:
        ArtifactError: it spells another.
    """
    try:
        return from_plain(kind, read_json(data))
    except DecodeError as error:
        raise ArtifactError(f"a document of the artifact cannot be read: {error}; pack it again") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")
