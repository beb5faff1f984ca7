"""Rollouts: all of them, one to watch, and what may be done to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from contracts.ids import parse_rollout_id
from fleet_server.console.acting import TYPED_ABOVE_DEVICES, RolloutAct, acts_for, consequence, touched
from fleet_server.console.listing import list_parts
from fleet_server.console.parts import Console
from fleet_server.console.progress import causes, cells, in_order, progress, segments, throughput, up_to
from fleet_server.console.routing import Asking, Operating, Parts, console_router
from fleet_server.console.words import face
from fleet_server.errors import AlreadyExists, RequestRefused
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts.states import UNDER_WAY

SHOWS = ("all", "active", "finished")

router = console_router()


@router.get("/rollouts")
def rollouts(request: Request, _: Asking, console: Parts, show: str = SHOWS[0]) -> Response:
    """Show every rollout, newest first, or only those active or finished."""
    every = console.reading.rollouts()
    active = [rollout for rollout in every if rollout.state in UNDER_WAY]
    finished = [rollout for rollout in every if rollout.state not in UNDER_WAY]
    kept = {"active": active, "finished": finished}.get(show, every)
    now = console.clock.now()
    figures = [(rollout, progress(rollout, now)) for rollout in kept]
    return console.pages.page(
        request,
        "rollouts",
        now=now,
        rows=[(rollout, figure, segments(figure.counts)) for rollout, figure in figures],
        under_way=UNDER_WAY,
        show=show if show in SHOWS else SHOWS[0],
        tabs=list(zip(SHOWS, (len(every), len(active), len(finished)), strict=True)),
    )


@router.get("/rollouts/{name}")
def rollout(request: Request, user: Asking, console: Parts, name: str, *, q: str = "", page: int = 1) -> Response:
    """Watch one rollout, and act."""
    found = _find(console, name)
    now = console.clock.now()
    figure = progress(found, now)
    return console.pages.page(
        request,
        "rollout",
        now=now,
        rollout=found,
        ended=found.state not in UNDER_WAY,
        acts=acts_for(found) if user.may_operate else (),
        progress=figure,
        bar=segments(figure.counts),
        waves=list(zip(found.waves, [segments(wave.counts) for wave in found.waves], up_to(found.waves), strict=True)),
        cells=cells(found.devices),
        causes=causes(found.devices),
        chart=throughput(found, now),
        listing=list_parts(found, q=q, page=page),
    )


@router.get("/rollouts/{name}/devices")
def rollout_devices(request: Request, _: Asking, console: Parts, name: str, q: str = "", page: int = 1) -> Response:
    """Show the rollout's devices alone: what the filter of its page fetches."""
    found = _find(console, name)
    listing = list_parts(found, q=q, page=page)
    now = console.clock.now()
    return console.pages.write(request, "_rollout_devices.html", now=now, rollout=found, listing=listing)


@router.get("/rollouts/{name}/names")
def rollout_names(_: Asking, console: Parts, name: str) -> Response:
    """List the devices' ids in the order of the grid."""
    names = [part.device for part in in_order(_find(console, name).devices)]
    return JSONResponse(names, headers={"Cache-Control": "no-store"})


@router.get("/rollouts/{name}/{act}")
def ask(request: Request, _: Operating, console: Parts, name: str, act: RolloutAct) -> Response:
    """Ask whether that is meant: a page of its own, or, by htmx, the inside of a dialog."""
    found = _find(console, name)
    _check_possible(found, act)
    return console.pages.page(
        request,
        "ask",
        now=console.clock.now(),
        rollout=found,
        act=act,
        consequence=consequence(found, act),
        touched=touched(found, act),
        typed=_needs_typing(found, act),
    )


@router.post("/rollouts/{name}/{act}")
def act(user: Operating, console: Parts, name: str, act: RolloutAct, typed: Annotated[str, Form()] = "") -> Response:
    """Do it, once, and lead back to the rollout."""
    found = _find(console, name)
    _check_possible(found, act)
    if _needs_typing(found, act) and typed.strip() != found.id:
        raise RequestRefused(f"type {found.id} to confirm an act on {touched(found, act):,} devices; nothing was done")
    console.acting.change_rollout(found.id, act, by=user.name)
    return RedirectResponse(f"/rollouts/{found.id}", status_code=303)


def _find(console: Console, name: str) -> RolloutView:
    return console.reading.rollout(parse_rollout_id(name))


def _check_possible(rollout: RolloutView, act: RolloutAct) -> None:
    possible = acts_for(rollout)
    if act not in possible:
        instead = f"possible now: {', '.join(possible)}" if possible else "nothing can be done to it any more"
        state = face(rollout.state).word
        raise AlreadyExists(f"rollout {rollout.id} is {state}: it cannot take {act.value!r}; {instead}")


def _needs_typing(rollout: RolloutView, act: RolloutAct) -> bool:
    return act in (RolloutAct.ABORT, RolloutAct.ROLLBACK) and touched(rollout, act) > TYPED_ABOVE_DEVICES
