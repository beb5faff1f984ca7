"""One tick: every rollout under way is looked at once and taken as far as it can go.

Nothing is remembered between ticks but what is in the database, each rollout is handled in its own
transaction under its own lock, and each step starts from what is there. So a server that is
killed, started again or running twice continues where the rows say.

- RUNNING: devices that took too long time out; the first wave that has not passed is opened, waited for,
  soaked and judged (``guard``); when the last one has passed, the rollout is complete. When a gate fails,
  an alert opens and the devices go back (``roll_back_on_failure``), or the rollout halts for a person.
- ROLLING_BACK: every device that was offered the release and had another one before is offered that
  one; devices that were not offered it are withdrawn and hear nothing. One that refused, failed or
  rolled back by itself has gone back already. One that had no release of the model before has
  nothing to go back to, nor has one whose previous release is barred: it finishes and keeps what it has. One that a
  newer rollout has since made an offer to is left to that. The rollout is rolled back when nobody is at work any more;
  a device that is not heard of keeps it open (an alert says so) until it is, or a person aborts.
- PAUSED, HALTED: devices already at work go on, and can time out; no wave opens.
- A release that is barred meanwhile (revoked, or below the security floor) fails its rollout as a gate would.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.update import UpdateState
from fleet_server.alerts.store import clear_alert, open_alert
from fleet_server.database.session import reading, transaction
from fleet_server.readmodel import AlertKind
from fleet_server.releases.standing import why_barred
from fleet_server.rollouts import conductor_store as rows
from fleet_server.rollouts.evidence import NO_EVIDENCE, gather
from fleet_server.rollouts.guard import Decision, Evidence, Standing, Verdict, decide
from fleet_server.rollouts.spec import GateSpec
from fleet_server.rollouts.states import BACK, BUSY, RolloutEvent, RolloutState, WaveEvent, WaveState
from fleet_server.rollouts.store import cancel_queued, move_rollout, spec_of

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from fleet_server.clock import Clock
    from fleet_server.database.tables import RolloutDeviceRow, RolloutRow, WaveRow


def tick(engine: Engine, clock: Clock) -> None:
    """Take every rollout under way as far as it can go now."""
    now = clock.now()
    with reading(engine) as session:
        due = rows.due_rollouts(session, now)
    for tenant, rollout in due:
        with transaction(engine) as session:
            row = rows.claim_rollout(session, tenant, rollout)
            if row is not None:
                conduct(session, row, now)


def conduct(session: Session, row: RolloutRow, now: datetime) -> None:
    """Take one rollout, whose row the transaction holds, as far as it can go now."""
    if row.state is RolloutState.ROLLING_BACK:
        _go_back(session, row, now)
        return
    rows.time_out_overdue(session, row, now)
    if row.state in (RolloutState.RUNNING, RolloutState.PAUSED):
        barred = why_barred(session, row.tenant, row.release)
        if barred:
            _withdraw(session, row, barred=barred, now=now)
    if row.state is RolloutState.RUNNING:
        _go_on(session, row, now)


def _withdraw(session: Session, row: RolloutRow, *, barred: str, now: datetime) -> None:
    """Stop the rollout of a release that may not be offered any more; a paused one that is not to go back stays so."""
    rolls_back = spec_of(row).roll_back_on_failure
    if not rolls_back and row.state is RolloutState.PAUSED:
        return
    reason = f"{row.release} may not be offered any more: {barred}"
    _fail(session, row, rolls_back=rolls_back, title=f"Rollout of {row.release} was stopped", reason=reason, now=now)


def _go_on(session: Session, row: RolloutRow, now: datetime) -> None:
    for wave in rows.waves_of(session, row):
        if wave.state is WaveState.PASSED:
            continue
        if wave.state is WaveState.PENDING:
            rows.open_wave(session, row, wave, now)
        if not _passes(session, row, wave, now):
            return
    move_rollout(session, row, RolloutEvent.LAST_WAVE_PASSED, reason="", now=now)


def _passes(session: Session, row: RolloutRow, wave: WaveRow, now: datetime) -> bool:
    gate = spec_of(row).gate
    parts = rows.parts_of(session, row, wave=wave.index)
    healthy_at = [part.healthy_at for part in parts if part.state is UpdateState.HEALTHY and part.healthy_at]
    soaked_s = (now - max(healthy_at)).total_seconds() if healthy_at else 0.0
    standing = Standing(counts=rows.count_states(parts), soaked_s=soaked_s)
    if wave.state is WaveState.OPEN and healthy_at and standing.finished == standing.size:
        rows.move_wave(session, wave, WaveEvent.ALL_FINISHED, verdict="")
    decision = decide(gate, standing, _evidence(session, row, parts, gate=gate, soaked_s=soaked_s))
    if decision.verdict is Verdict.HOLD:
        wave.verdict = decision.reason
        return False
    if decision.verdict is Verdict.HALT:
        rows.move_wave(session, wave, WaveEvent.FAIL, verdict=decision.reason)
        _stop(session, row, wave, decision=decision, now=now)
        return False
    rows.move_wave(session, wave, WaveEvent.PASS, verdict=decision.reason)
    return True


def _evidence(
    session: Session, row: RolloutRow, parts: Sequence[RolloutDeviceRow], *, gate: GateSpec, soaked_s: float
) -> Evidence:
    is_needed = gate.min_rows > 0 and soaked_s >= gate.soak_s
    everybody_ended = all(part.state.is_final for part in parts)
    somebody_healthy = any(part.state is UpdateState.HEALTHY for part in parts)
    return gather(session, row, parts) if is_needed and everybody_ended and somebody_healthy else NO_EVIDENCE


def _stop(session: Session, row: RolloutRow, wave: WaveRow, *, decision: Decision, now: datetime) -> None:
    reason = f"wave {wave.index + 1}: {decision.reason}"
    title = f"Rollout of {row.release} to {row.group_name} failed at wave {wave.index + 1}"
    _fail(session, row, rolls_back=spec_of(row).roll_back_on_failure, title=title, reason=reason, now=now)


def _fail(session: Session, row: RolloutRow, *, rolls_back: bool, title: str, reason: str, now: datetime) -> None:
    event = RolloutEvent.ROLLBACK if rolls_back else RolloutEvent.HALT
    move_rollout(session, row, event, reason=reason, now=now)
    open_alert(
        session,
        row.tenant,
        topic=f"rollout/{row.id}",
        kind=AlertKind.ROLLOUT,
        title=title,
        detail=reason,
        now=now,
        about=(None, row.release, row.id),
    )
    if rolls_back:
        _go_back(session, row, now)


def _go_back(session: Session, row: RolloutRow, now: datetime) -> None:
    cancel_queued(session, row, now)
    newest = rows.newest_offers(session, row)
    for part in rows.parts_of(session, row):
        if part.attempt != BACK and newest[part.device] == row.id:
            _send_back(session, row, part, now)
    rows.time_out_overdue(session, row, now)
    rows.note_gone_back(session, row, now)
    at_work = [part for part in rows.parts_of(session, row) if part.state in BUSY]
    if not at_work:
        clear_alert(session, row.tenant, _stuck_topic(row), reason="all have gone back", now=now)
        move_rollout(session, row, RolloutEvent.ALL_WENT_BACK, reason=row.reason, now=now)
    else:
        _tell_overdue(session, row, at_work, now)


def _send_back(session: Session, row: RolloutRow, part: RolloutDeviceRow, now: datetime) -> None:
    previous = part.previous_release
    barred = why_barred(session, row.tenant, previous) if previous is not None else ""
    if previous is not None and not barred:
        rows.send_back(session, row, part, previous=previous, reason=row.reason, now=now)
    elif part.state is UpdateState.HEALTHY and not part.code:
        why = f"{previous} may not be offered: {barred}" if barred else "it had no release of the model before"
        rows.keep_release(session, part, row.release, why=why)


def _tell_overdue(session: Session, row: RolloutRow, at_work: Sequence[RolloutDeviceRow], now: datetime) -> None:
    overdue = [part.device for part in at_work if part.deadline_at is not None and part.deadline_at <= now]
    if overdue:
        open_alert(
            session,
            row.tenant,
            topic=_stuck_topic(row),
            kind=AlertKind.ROLLOUT,
            title=f"{len(overdue)} devices have not gone back from {row.release}",
            detail=f"nothing heard in time from {', '.join(overdue[:10])}; they are offered their previous release "
            "as soon as they come back. Abort the rollout to stop waiting.",
            now=now,
            about=(overdue[0], row.release, row.id),
        )


def _stuck_topic(row: RolloutRow) -> str:
    return f"rollback/{row.id}"
