"""One check that refuses an attack, and how to take it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: in ``file`` the text ``old``, which occurs there once, becomes ``new``; ``killed_by`` then fail.

    ``killed_by`` are names of tests as pytest writes them, from the repository's root.
    """

    name: str
    file: str
    old: str
    new: str
    killed_by: tuple[str, ...]
