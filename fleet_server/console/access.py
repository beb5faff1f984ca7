"""Who may come in, how often a password may be tried, and where sign-in leads."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from math import ceil
from typing import Protocol
from urllib.parse import urlsplit

from fleet_server.errors import NotAllowed, TooManyTries
from fleet_server.people.user import User

MOST_FAILURES = 5
MOST_FROM_ADDRESS = 50
MOST_OF_NAME = 100
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0
FAILURES_WITHIN = timedelta(minutes=1)
MOST_KEYS = 10_000
_REMEMBERED = MOST_OF_NAME + 16


class People(Protocol):
    """Knows passwords and sessions."""

    def sign_in(self, name: str, password: str) -> str:
        """Begin a session; return the cookie's value.

        Raises:
            NotSignedIn: name and password do not belong together.
        """
        ...

    def user(self, cookie: str) -> User:
        """Return whose session it is.

        Raises:
            NotSignedIn: there is no such session, or it has ended.
        """
        ...

    def sign_out(self, cookie: str) -> None:
        """End the session, if there is one."""
        ...


class Failures:
    """Counts the tries to sign in of the last minute that failed or are under way, in this process.

    Five for one name from one address, or fifty from one address, then that address waits. A name alone is never
    shut: strangers could shut its owner out. After a hundred failures of a name, wherever from, each try of it is
    held back for longer and longer, up to 8 s.

    Bounded: at most 10,000 names and addresses are remembered, the longest untouched forgotten first.
    """

    def __init__(self) -> None:
        self._moments: dict[tuple[str, str], deque[datetime]] = {}

    def begin(self, name: str, address: str, now: datetime) -> float:
        """Count a try before its password is looked at, and return for how many seconds it is held back.

        Raises:
            TooManyTries: the address has failed too often within the last minute.
        """
        for key, most in (((name, address), MOST_FAILURES), (("", address), MOST_FROM_ADDRESS)):
            moments = self._recent(key, now)
            if len(moments) >= most:
                wait_s = ceil((moments[0] + FAILURES_WITHIN - now).total_seconds())
                raise TooManyTries("too many failed sign-ins; wait a minute and try again", retry_after_s=wait_s)
        over = len(self._recent((name, ""), now)) - MOST_OF_NAME
        for key in _keys(name, address):
            self._note(key, now)
        return 0.0 if over < 0 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**over)

    def take_back(self, name: str, address: str, began_at: datetime) -> None:
        """Forget a try that did not fail."""
        for key in _keys(name, address):
            with suppress(ValueError, KeyError):
                self._moments[key].remove(began_at)

    def _recent(self, key: tuple[str, str], now: datetime) -> Sequence[datetime]:
        moments = self._moments.get(key, deque[datetime]())
        while moments and moments[0] <= now - FAILURES_WITHIN:
            moments.popleft()
        return moments

    def _note(self, key: tuple[str, str], now: datetime) -> None:
        moments = self._moments.pop(key, None) or deque(maxlen=_REMEMBERED)
        moments.append(now)
        self._moments[key] = moments
        if len(self._moments) > MOST_KEYS:
            del self._moments[next(iter(self._moments))]


def _keys(name: str, address: str) -> tuple[tuple[str, str], ...]:
    return (name, address), ("", address), (name, "")


def require_operating(user: User) -> User:
    """Return the user if acts are theirs.

    Raises:
        NotAllowed: the person may only look.
    """
    if not user.may_operate:
        raise NotAllowed(f"{user.name} may look, not act; ask an administrator for the operator role")
    return user


def local_path(wanted: str) -> str:
    r"""Return the path if it leads to a page of ours, else the overview's: never another site.

    >>> local_path("/rollouts/r-1?q=lyon"), local_path("//evil.example"), local_path("https://evil.example")
    ('/rollouts/r-1?q=lyon', '/', '/')
    """
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    parts = urlsplit(wanted) if ours else None
    return wanted if parts is not None and not parts.scheme and not parts.netloc else "/"
