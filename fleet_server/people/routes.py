"""Who is asking: the FastAPI dependencies that every route builds on.

A request shows a bearer token or the console's session cookie. With a cookie, a method that changes
something must come from our own pages: the browser's Sec-Fetch-Site, or else its Origin, says so.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.requests import HTTPConnection

from fleet_server.database.session import reading
from fleet_server.errors import NotAllowed, NotSignedIn
from fleet_server.people import store
from fleet_server.people.user import User
from fleet_server.wiring import wiring_of

SESSION_COOKIE = "edgeship_session"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def current_user(request: HTTPConnection) -> User:
    """Return who is asking.

    Raises:
        NotSignedIn: no valid token and no valid cookie.
        NotAllowed: a change asked for by another site's page.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    cookie = request.cookies.get(SESSION_COOKIE, "")
    wiring = wiring_of(request)
    with reading(wiring.engine) as session:
        if scheme.lower() == "bearer" and token:
            return store.user_of_token(session, token.strip())
        if cookie:
            check_same_origin(request)
            return store.user_of_web_session(session, cookie, now=wiring.clock.now())
    raise NotSignedIn("sign in first: send 'Authorization: Bearer TOKEN', or use the console")


def require_operator(user: Annotated[User, Depends(current_user)]) -> User:
    """Return who is asking, who may also act.

    Raises:
        NotAllowed: the person may only look.
    """
    if not user.may_operate:
        raise NotAllowed(f"{user.name} may look, not act; ask an administrator for the operator role")
    return user


def check_same_origin(request: HTTPConnection) -> None:
    """Let the request pass when it changes nothing or comes from our own pages.

    Raises:
        NotAllowed: it comes from elsewhere, or does not say where from.
    """
    if request.scope.get("method", "GET") in _SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site == "same-origin":
        return
    if site is None and origin is not None and urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise NotAllowed("this change was asked for by another site's page; use the console's own buttons")


CurrentUser = Annotated[User, Depends(current_user)]
Operator = Annotated[User, Depends(require_operator)]
