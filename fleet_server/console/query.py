"""The filter line of a list: words that must all be there, ``-word`` for not, ``key:value`` for one column.

>>> keeps = parse_filter("status:online -lab pi", keys={"id", "status"})
>>> keeps.matches({"id": "pi-01", "status": "online"})
True
>>> keeps.matches({"id": "pi-lab-01", "status": "online"})
False
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from fleet_server.errors import RequestRefused

LONGEST = 200
_NONE_CLOSED: Final[Mapping[str, Collection[str]]] = MappingProxyType({})


class FilterRefused(RequestRefused):
    """The filter line cannot be read."""

    code: ClassVar[str] = "filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One word of the line: wanted (or not) in one column, or in any where ``key`` is empty."""

    key: str
    text: str
    wanted: bool

    def matches(self, columns: Mapping[str, str]) -> bool:
        """Whether the row has the text where it must, or lacks it where it must."""
        looked_at = (columns[self.key],) if self.key else columns.values()
        return any(self.text in value.lower() for value in looked_at) is self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A line, read: every term must hold."""

    terms: tuple[Term, ...]

    def matches(self, columns: Mapping[str, str]) -> bool:
        """Whether the row is kept."""
        return all(term.matches(columns) for term in self.terms)


def parse_filter(line: str, *, keys: Collection[str], closed: Mapping[str, Collection[str]] = _NONE_CLOSED) -> Filter:
    """Return the filter that the line spells; a key of ``closed`` takes only the values named there.

    Raises:
        FilterRefused: longer than 200 characters, or a key or value that there is not.
    """
    if len(line) > LONGEST:
        raise FilterRefused(f"the filter has {len(line)} characters; use at most {LONGEST}")
    return Filter(terms=tuple(_term(word, keys, closed) for word in line.lower().split()))


def _term(word: str, keys: Collection[str], closed: Mapping[str, Collection[str]]) -> Term:
    bare = word.removeprefix("-")
    key, colon, text = bare.partition(":")
    if not colon:
        return Term(key="", text=bare, wanted=bare == word)
    if key not in keys:
        raise FilterRefused(f"the filter has no key {key[:40]!r}; use one of {', '.join(sorted(keys))}")
    if text and text not in closed.get(key, (text,)):
        raise FilterRefused(f"no {key} {text[:40]!r}; one of {', '.join(closed[key])}")
    return Term(key=key, text=text, wanted=bare == word)
