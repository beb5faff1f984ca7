"""Sign in, sign out, light or dark."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from fleet_server.console.access import local_path
from fleet_server.console.parts import Console
from fleet_server.console.rendering import THEME_COOKIE, THEMES
from fleet_server.console.routing import Parts, console_router
from fleet_server.errors import NotSignedIn, TooManyTries, http_status
from fleet_server.people.routes import SESSION_COOKIE
from fleet_server.people.store import SESSION_LIFETIME

THEME_KEPT_S = 365 * 24 * 3600
LONGEST_NAME = 200
LONGEST_PASSWORD = 1_000
CHECK_RETRY_S = 5

router = console_router()


@router.get("/login")
def sign_in_form(request: Request, console: Parts, next: str = "/") -> Response:  # noqa: A002 - the parameter's name
    """Show the form."""
    return _form(request, console, onward=local_path(next))


@router.post("/login")
async def sign_in(
    request: Request,
    console: Parts,
    name: Annotated[str, Form(max_length=LONGEST_NAME)],
    password: Annotated[str, Form(max_length=LONGEST_PASSWORD)],
    next: Annotated[str, Form()] = "/",  # noqa: A002 - the field's name
) -> Response:
    """Begin a session and go on to the page that was asked for, or say what is wrong."""
    onward = local_path(next)
    try:
        cookie = await _try(request, console, name=name, password=password)
    except (NotSignedIn, TooManyTries) as error:
        refusal = _form(request, console, onward=onward, name=name, problem=str(error), status=http_status(error))
        if isinstance(error, TooManyTries):
            refusal.headers["Retry-After"] = str(error.retry_after_s)
        return refusal
    response = RedirectResponse(onward, status_code=303)
    response.set_cookie(
        SESSION_COOKIE,
        cookie,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
def sign_out(request: Request, console: Parts) -> Response:
    """End the session, here and on the server."""
    console.people.sign_out(request.cookies.get(SESSION_COOKIE, ""))
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.post("/theme")
def choose_theme(request: Request, theme: Annotated[str, Form()] = "") -> Response:
    """Keep light or dark for a year; without a choice, the other one than now, so that the button works unscripted."""
    current = request.cookies.get(THEME_COOKIE, "light")
    chosen = theme if theme in THEMES else THEMES[current == "light"]
    back = request.headers.get("referer", "").partition("://")[2].partition("/")[2]
    response = RedirectResponse(local_path(f"/{back}"), status_code=303)
    response.set_cookie(THEME_COOKIE, chosen, max_age=THEME_KEPT_S, samesite="lax", httponly=True)
    return response


async def _try(request: Request, console: Console, *, name: str, password: str) -> str:
    now, address = console.clock.now(), request.client.host if request.client else ""
    pause_s = console.failures.begin(name, address, now)
    if pause_s:
        await console.pause(pause_s)
    try:
        cookie = await _check(console, name, password)
    except TooManyTries:
        console.failures.take_back(name, address, now)
        raise
    console.failures.take_back(name, address, now)
    return cookie


async def _check(console: Console, name: str, password: str) -> str:
    try:
        async with asyncio.timeout(console.check_patience_s):
            await console.checks.acquire()
    except TimeoutError as error:
        message = "too many people sign in at this moment; try again in a few seconds"
        raise TooManyTries(message, retry_after_s=CHECK_RETRY_S) from error
    try:
        return await run_in_threadpool(console.people.sign_in, name, password)
    finally:
        console.checks.release()


def _form(
    request: Request, console: Console, *, onward: str, name: str = "", problem: str = "", status: int = 200
) -> Response:
    return console.pages.write(
        request, "login.html", now=console.clock.now(), status=status, onward=onward, name=name, problem=problem
    )
