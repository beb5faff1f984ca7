"""Who may come in, how often a password may be tried, and where sign-in leads."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from fleet_server.errors import NotAllowed, TooManyTries
from fleet_server.people.user import User

MOST_FAILURES = 5
FAILURES_WITHIN = timedelta(minutes=1)
MOST_KEYS = 10_000


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
    """Counts failed sign-ins in this process: five a minute for one name or one address, then a wait.

    Bounded: at most 10,000 names and addresses are remembered, the longest untouched forgotten first.
    """

    def __init__(self) -> None:
        self._moments: dict[str, deque[datetime]] = {}

    def check(self, key: str, now: datetime) -> None:
        """Let a try pass.

        Raises:
            TooManyTries: five failures within the last minute.
        """
        moments = self._moments.get(key)
        while moments and moments[0] <= now - FAILURES_WITHIN:
            moments.popleft()
        if moments and len(moments) >= MOST_FAILURES:
            raise TooManyTries("too many failed sign-ins; wait a minute and try again")

    def note(self, key: str, now: datetime) -> None:
        """Remember a failure."""
        moments = self._moments.pop(key, None) or deque(maxlen=MOST_FAILURES)
        moments.append(now)
        self._moments[key] = moments
        if len(self._moments) > MOST_KEYS:
            del self._moments[next(iter(self._moments))]


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
