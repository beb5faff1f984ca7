"""The checks that refuse attacks: where each one is, how to take it out, and which tests notice.

``tests/attacks/test_checks.py`` holds this list to the code; ``python -m tests.slow mutations`` takes out one check
after the other in a copy of the tree and runs the tests named: each must fail there.
"""

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


CHECKS: tuple[Check, ...] = ()
