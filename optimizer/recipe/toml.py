"""TOML, read with the nearest name where a key is unknown, and written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optimizer.errors import RecipeError


def refuse_unknown(plain: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Return where every key is known.

    Raises:
        RecipeError: one is not; names the nearest.
    """
    names = list(known)
    for key in plain:
        if key not in names:
            raise RecipeError(f"{where} has no key {key!r}{nearest(key, names)}")


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the end of a sentence that names the nearest known word, or all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(known)}"


def tables(plain: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the tables headed ``[[key]]``.

    Raises:
        RecipeError: the key holds something else.
    """
    found = plain.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise RecipeError(f"{key} must be tables, each headed [[{key}]]")
    return found


def table(plain: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the table headed ``[key]``, empty where there is none.

    Raises:
        RecipeError: the key holds something else.
    """
    found = plain.get(key, {})
    if not isinstance(found, dict):
        raise RecipeError(f"{key} must be a table, headed [{key}]")
    return found


def text(plain: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return the text under the key.

    Raises:
        RecipeError: there is none and no default, or it is no text.
    """
    value = plain.get(key, default)
    if value is None:
        raise RecipeError(f'{key} is missing; write {key} = "..."')
    if not isinstance(value, str):
        raise RecipeError(f"{key} = {value!r} must be text in quotes")
    return value


def texts(plain: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts under the key, empty where there is none.

    Raises:
        RecipeError: the key holds something else.
    """
    found = plain.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise RecipeError(f'{key} = {found!r} must be a list of texts, as in ["a", "b"]')
    return tuple(found)


def value_in_toml(value: object) -> str:
    """Return the value as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return f"[{', '.join(value_in_toml(item) for item in value)}]"
    return repr(value)
