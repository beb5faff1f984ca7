"""The console's router: every page that is looked at. Each is whole without a script; htmx fetches parts of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from fleet_server.console import alert_pages, device_pages, entrance, rollout_pages
from fleet_server.console.parts import Console
from fleet_server.console.progress import Segment, progress, segments, stack
from fleet_server.console.routing import Asking, Parts, console_router
from fleet_server.errors import NotSignedIn
from fleet_server.people.routes import SESSION_COOKIE
from fleet_server.readmodel import OverviewView
from fleet_server.trust.expiry import stages_reached

NEWEST_ALERTS = 5
VERSIONS_NAMED = 6
CHECK_SESSION_EVERY = 30
"""Ticks between two looks at whether a stream's session still holds."""

router = console_router()
for part in (entrance, device_pages, rollout_pages, alert_pages):
    router.include_router(part.router)


@router.get("/")
def overview(request: Request, _: Asking, console: Parts) -> Response:
    """Is anything wrong?"""
    view = console.reading.overview()
    now = console.clock.now()
    figures = [(rollout, progress(rollout, now)) for rollout in view.active_rollouts]
    return console.pages.page(
        request,
        "overview",
        now=now,
        view=view,
        rollouts=[(rollout, figure, segments(figure.counts)) for rollout, figure in figures],
        newest=sorted(view.open_alerts, key=lambda alert: alert.opened_at, reverse=True)[:NEWEST_ALERTS],
        versions=versions_bar(view),
    )


@router.get("/trust")
def trust(request: Request, _: Asking, console: Parts) -> Response:
    """Who may release what, until when, and what may not be offered any more."""
    now = console.clock.now()
    found = console.reading.trust()
    return console.pages.page(
        request,
        "trust",
        now=now,
        found=found,
        roles=[(role, (role.expires_at - now).days, bool(stages_reached(role, now))) for role in found.roles],
        releases=console.reading.releases(),
    )


@router.get("/live")
async def live(request: Request, _: Asking, console: Parts) -> Response:
    """Stream what changes, for as long as the session holds."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _while_signed_in(console, request.cookies[SESSION_COOKIE])
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@router.get("/static/{name}")
def static(request: Request, console: Parts, name: str) -> Response:
    """Hand out the built bundle; no sign-in needed."""
    return console.static.answer(name, request)


def versions_bar(view: OverviewView) -> tuple[Segment, ...]:
    """Return releases by how many devices run them, most first; the rarest are counted together."""
    ranked = sorted(view.versions.items(), key=lambda item: (-item[1], item[0]))
    named = [(f"version-{place}", release, count) for place, (release, count) in enumerate(ranked[:VERSIONS_NAMED])]
    rest = sum(count for _, count in ranked[VERSIONS_NAMED:])
    return stack([*named, ("queued", "other releases", rest)] if rest else named)


async def _while_signed_in(console: Console, cookie: str) -> AsyncIterator[bytes]:
    ticks = 0
    async with aclosing(console.hub.watch()) as stream:
        async for message in stream:
            yield message
            ticks += 1
            if ticks % CHECK_SESSION_EVERY == 0 and not await asyncio.to_thread(_still_signed_in, console, cookie):
                return


def _still_signed_in(console: Console, cookie: str) -> bool:
    try:
        console.people.user(cookie)
    except NotSignedIn:
        return False
    return True
