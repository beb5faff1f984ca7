"""What a page that watches is told each second: everything once, then only what changed. Pure.

A snapshot is ``{"seq", "at", "numbers", "rollouts": {id: {"state", "cells"}}}``; a tick names what
differs from the tick before, and the topics (``overview``, ``alerts``, ``rollout/ID``) whose pages
should fetch their fragments anew. ``web/src/messages.ts`` is the other end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import orjson

from contracts.ids import RolloutId
from fleet_server.console.progress import cells
from fleet_server.readmodel import OverviewView, RolloutView


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The overview's numbers."""

    devices: int
    online: int
    failing: int
    active: int
    alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The fleet at one tick: what is compared with the next."""

    overview: OverviewView
    numbers: Numbers
    rollouts: Mapping[RolloutId, RolloutView]
    cells: Mapping[RolloutId, str]


def pulse_of(overview: OverviewView) -> Pulse:
    """Return the pulse of the moment."""
    return Pulse(
        overview=overview,
        numbers=Numbers(
            devices=overview.devices,
            online=overview.online,
            failing=overview.failing,
            active=len(overview.active_rollouts),
            alerts=len(overview.open_alerts),
        ),
        rollouts={rollout.id: rollout for rollout in overview.active_rollouts},
        cells={rollout.id: cells(rollout.devices) for rollout in overview.active_rollouts},
    )


def topics(before: Pulse, after: Pulse) -> list[str]:
    """Return the topics whose pages would look different now; a rollout that left the active ones, too."""
    changed = ["overview"] if before.overview != after.overview else []
    if before.overview.open_alerts != after.overview.open_alerts:
        changed.append("alerts")
    every = sorted(before.rollouts.keys() | after.rollouts.keys())
    moved = [name for name in every if before.rollouts.get(name) != after.rollouts.get(name)]
    return changed + (["rollouts"] if moved else []) + [f"rollout/{name}" for name in moved]


def snapshot_bytes(pulse: Pulse, *, seq: int, at: datetime) -> bytes:
    """Return the SSE event that says everything."""
    rollouts = {name: {"state": rollout.state, "cells": pulse.cells[name]} for name, rollout in pulse.rollouts.items()}
    return _event("snapshot", {"seq": seq, "at": at, "numbers": asdict(pulse.numbers), "rollouts": rollouts})


def tick_bytes(before: Pulse, after: Pulse, *, seq: int, at: datetime) -> bytes:
    """Return the SSE event that says what changed; sent even where nothing did, so that silence means a fault."""
    tick: dict[str, object] = {"seq": seq, "at": at}
    if before.numbers != after.numbers:
        tick["numbers"] = asdict(after.numbers)
    news = {name: _news(before, after, name) for name in after.rollouts if _moved(before, after, name)}
    if news:
        tick["rollouts"] = news
    if changed := topics(before, after):
        tick["changed"] = changed
    return _event("tick", tick)


def _moved(before: Pulse, after: Pulse, name: RolloutId) -> bool:
    old = before.rollouts.get(name)
    return old is None or old.state is not after.rollouts[name].state or before.cells[name] != after.cells[name]


def _news(before: Pulse, after: Pulse, name: RolloutId) -> dict[str, object]:
    old, new = before.cells.get(name, ""), after.cells[name]
    state = after.rollouts[name].state
    if len(old) != len(new):
        return {"state": state, "cells": new}
    delta = [(place, is_now) for place, (was, is_now) in enumerate(zip(old, new, strict=True)) if was != is_now]
    return {"state": state, "delta": delta}


def _event(kind: str, message: Mapping[str, object]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(message) + b"\n\n"
