"""Alerts: the queue, acknowledging, and the retrain request that a drift alert made."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import Form, Request
from fastapi.responses import RedirectResponse, Response

from fleet_server.console.overlays import judge_moved
from fleet_server.console.parts import Console
from fleet_server.console.rendering import wants_fragment
from fleet_server.console.routing import Asking, Operating, Parts, console_router
from fleet_server.readmodel import AlertState

ALL = "all"
MOST_SHOWN = 200

router = console_router()


@router.get("/alerts")
def alerts(request: Request, _: Asking, console: Parts, show: str = AlertState.OPEN.value) -> Response:
    """Show the queue; ``show`` is a state or all."""
    return _queue(request, console, show=show)


@router.post("/alerts/{name}/acknowledge")
def acknowledge(
    request: Request, user: Operating, console: Parts, name: str, show: Annotated[str, Form()] = AlertState.OPEN.value
) -> Response:
    """Note that the person has seen it, and show the queue again."""
    console.acting.acknowledge(name, by=user.name)
    if wants_fragment(request):
        return _queue(request, console, show=show)
    return RedirectResponse(f"/alerts?show={_known(show)}", status_code=303)


@router.get("/retrain-requests/{name}")
def retrain_request(request: Request, _: Asking, console: Parts, name: str) -> Response:
    """Show what to retrain, and on what evidence."""
    found = console.reading.retrain_request(name)
    judged = [(feature, judge_moved(feature.psi)) for feature in found.moved]
    return console.pages.page(request, "retrain", now=console.clock.now(), found=found, judged=judged)


def _queue(request: Request, console: Console, *, show: str) -> Response:
    every = console.reading.alerts()
    show = _known(show)
    rows = [alert for alert in every if show in (ALL, alert.state.value)]
    tally = Counter(alert.state for alert in every)
    return console.pages.page(
        request,
        "alerts",
        now=console.clock.now(),
        rows=[(alert, [(feature, judge_moved(feature.psi)) for feature in alert.moved]) for alert in rows[:MOST_SHOWN]],
        matching=len(rows),
        show=show,
        tabs=[(state.value, tally[state]) for state in AlertState] + [(ALL, len(every))],
    )


def _known(show: str) -> str:
    return show if show in {*AlertState, ALL} else AlertState.OPEN.value
