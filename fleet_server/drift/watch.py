"""One tick of the drift watch: windows that came in become alerts and retrain requests.

A *look* is over a block of a device's windows: the newest ones under one plan, added up until
there are MIN_ROWS rows. Blocks of one decision do not overlap. Because somebody looks at every new
window, the chance of error of one look is a thousandth of what a device may cause (LEVEL): 1 % over
a thousand looks, so that a fleet that nothing happens to stays quiet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from contracts.ids import split_release_id
from contracts.retrain import MovedFeature
from contracts.sketch import Sketch, merge
from fleet_server.alerts import store as alerts
from fleet_server.alerts.rule import CLEAR_AFTER, Change, next_change
from fleet_server.database.session import reading, transaction
from fleet_server.drift import store
from fleet_server.drift.distance import ALPHA, MIN_ROWS, moved_features
from fleet_server.drift.store import Source
from fleet_server.readmodel import AlertKind
from fleet_server.retrain.request import request_retraining
from fleet_server.retrain.store import add_retrain_request

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from fleet_server.clock import Clock

LOOKS = 1000
LEVEL = ALPHA / LOOKS
"""Chance of a false alert at one look: ALPHA is what a thousand looks at one device may have together."""

WINDOWS_PER_TICK = 500
WINDOWS_PER_LOOK = 60
"""Windows read for one decision: enough for CLEAR_AFTER looks of five rows a window."""


def tick(engine: Engine, clock: Clock) -> None:
    """Look at every device whose windows came in since the last tick; what was seen is written with its alert."""
    with reading(engine) as session:
        sources = store.unexamined_sources(session, limit=WINDOWS_PER_TICK)
    for source, newest in sources:
        with transaction(engine) as session:
            examine(session, source, clock.now())
            store.mark_examined(session, source, up_to=newest, now=clock.now())


def examine(session: Session, source: Source, now: datetime) -> None:
    """Open, clear or leave the drift alert of the source, by its newest windows."""
    _clear_older_releases(session, source, now)
    windows = store.recent_windows(session, source, limit=WINDOWS_PER_LOOK)
    plan, fitting = store.fitting(session, source, windows)
    if plan is None:
        return
    topic = _topic(source)
    is_open = alerts.standing_alert(session, source.tenant, topic) is not None
    seen = tuple(islice(blocks(fitting), CLEAR_AFTER if is_open else 1))
    looks = [moved_features(plan, block, alpha=LEVEL) for block in seen]
    change = next_change(looks, is_open=is_open)
    if change is Change.OPEN:
        _open(session, source, seen[0], looks[0], now)
    elif change is Change.CLEAR:
        alerts.clear_alert(session, source.tenant, topic, reason=f"quiet for {CLEAR_AFTER} looks", now=now)


def blocks(windows: Iterable[Sketch], *, min_rows: int = MIN_ROWS) -> Iterator[Sketch]:
    """Yield the windows, newest first, added up into blocks of at least ``min_rows`` rows; a short rest is left out."""
    block: Sketch | None = None
    for window in windows:
        block = window if block is None else merge(block, window)
        if block.rows >= min_rows:
            yield block
            block = None


def _open(session: Session, source: Source, window: Sketch, moved: Sequence[MovedFeature], now: datetime) -> None:
    alert = alerts.open_alert(
        session,
        source.tenant,
        topic=_topic(source),
        kind=AlertKind.DRIFT,
        title=f"Inputs of {source.device} moved",
        detail=_sentence(source, window, moved),
        now=now,
        about=(source.device, source.release, None),
    )
    request = request_retraining(alert, device=source.device, moved=moved, window=window, now=now)
    add_retrain_request(session, source.tenant, request)
    alerts.attach_evidence(session, source.tenant, alert, moved=moved, retrain=request.id)


def _sentence(source: Source, window: Sketch, moved: Sequence[MovedFeature]) -> str:
    named = ", ".join(f"{each.name} {each.reference_mean:.3g} -> {each.current_mean:.3g}" for each in moved[:3])
    rest = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return (
        f"{named}{rest} (mean in the data {source.release} was made with -> over {window.rows} rows "
        f"up to {window.ended_at:%Y-%m-%d %H:%M:%S} UTC)"
    )


def _clear_older_releases(session: Session, source: Source, now: datetime) -> None:
    model = split_release_id(source.release)[0]
    for topic in alerts.standing_topics(session, source.tenant, f"drift/{source.device}/{model}@"):
        if topic != _topic(source):
            alerts.clear_alert(
                session, source.tenant, topic, reason=f"{source.device} now answers with {source.release}", now=now
            )


def _topic(source: Source) -> str:
    return f"drift/{source.device}/{source.release}"
