"""Devices: all of them, and one."""

from __future__ import annotations

from collections import Counter

from fastapi import Request
from fastapi.responses import Response

from contracts.ids import parse_device_id
from fleet_server.console.listing import NEEDS_LOOK, is_failing, list_devices
from fleet_server.console.overlays import multiples
from fleet_server.console.routing import Asking, Parts, console_router
from fleet_server.readmodel import DeviceStatus

router = console_router()


@router.get("/devices")
def devices(request: Request, _: Asking, console: Parts, q: str = "", page: int = 1) -> Response:
    """Find any device."""
    everyone = console.reading.devices()
    tally = Counter(device.status for device in everyone)
    return console.pages.page(
        request,
        "devices",
        now=console.clock.now(),
        listing=list_devices(everyone, q=q, page=page),
        tally=[(status, tally[status]) for status in DeviceStatus],
        needs_look=(f"health:{NEEDS_LOOK}", sum(is_failing(device) for device in everyone)),
    )


@router.get("/devices/{name}")
def device(request: Request, _: Asking, console: Parts, name: str) -> Response:
    """Show everything about one device."""
    found = console.reading.device(parse_device_id(name))
    sketches = console.reading.sketches(found.id)
    return console.pages.page(
        request,
        "device",
        now=console.clock.now(),
        device=found,
        transfers=console.reading.transfers(found.id),
        sketches=sketches,
        charts=multiples(sketches.features) if sketches else (),
        alerts=[alert for alert in console.reading.alerts() if alert.device == found.id],
    )
