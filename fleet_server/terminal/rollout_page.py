"""One rollout on a terminal: a bar for each wave, counts by state, the gate's words, the last failures. Pure.

A bar's character says how far devices are, its colour says it again: █ healthy, ▓ at work, ░ waiting, x failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from contracts.update import UpdateState
from fleet_server.console.words import absolute, face, since
from fleet_server.readmodel import RolloutDeviceView, RolloutView, WaveView
from fleet_server.rollouts.spec import GateSpec
from fleet_server.terminal.page import Cell, Column, Line, Part, Table, cell, line, state_cell

BAR_COLUMNS = 24
FAILURES_SHOWN = 5

_ORDER = (
    UpdateState.HEALTHY,
    UpdateState.PROBATION,
    UpdateState.INSTALLING,
    UpdateState.VERIFYING,
    UpdateState.DOWNLOADING,
    UpdateState.OFFERED,
    UpdateState.QUEUED,
    UpdateState.CANCELLED,
    UpdateState.ROLLED_BACK,
    UpdateState.TIMED_OUT,
    UpdateState.FAILED,
    UpdateState.REFUSED,
)
_WAITING = frozenset({UpdateState.QUEUED, UpdateState.OFFERED, UpdateState.CANCELLED})


def rollout_page(rollout: RolloutView, now: datetime) -> tuple[Part, ...]:
    """Return the rollout as it stands."""
    head = line(
        cell(rollout.id, "strong"),
        f"  {rollout.spec.release} → {rollout.spec.group}  ",
        state_cell(rollout.state),
        f"  started {since(rollout.created_at, now)} by {rollout.created_by}",
    )
    reason = (line("  ", cell(rollout.reason, face(rollout.state).tone)),) if rollout.reason else ()
    waves = tuple(part for wave in rollout.waves for part in _wave_lines(wave))
    return (head, *reason, *waves, *_incompatible(rollout), *_failures(rollout, now))


def spec_page(rollout: RolloutView) -> tuple[Line, ...]:
    """Return what the operator asked for, in words."""
    spec = rollout.spec
    bound = f"{spec.max_bytes_s / 1000:.0f} kB/s for each device" if spec.max_bytes_s else "no bound"
    facts = {
        "waves": ", ".join(spec.waves),
        "gate": gate_words(spec.gate),
        "evidence": evidence_words(spec.gate),
        "on failure": "roll back what was updated" if spec.roll_back_on_failure else "halt and wait for a person",
        "a device has": f"{spec.device_timeout_s:.0f} s",
        "download": bound,
        "finished": absolute(rollout.finished_at) if rollout.finished_at else "not yet",
    }
    return tuple(line(cell(f"  {word:<13}", "quiet"), value) for word, value in facts.items())


def gate_words(gate: GateSpec) -> str:
    """Return when a wave passes."""
    failed = f"at most {100 * gate.max_failed_ratio:.3g} % failed"
    return f"{failed}, at least {gate.min_devices} finished, soak {gate.soak_s:.0f} s"


def evidence_words(gate: GateSpec) -> str:
    """Return what a wave's answers are compared with."""
    return f"{gate.min_rows} rows on each side" if gate.min_rows else "answers are not compared"


def bar(counts: Mapping[UpdateState, int], columns: int = BAR_COLUMNS) -> tuple[Cell, ...]:
    """Return the devices by state, ``columns`` wide; a state with one device in a thousand still has a column."""
    present = [state for state in _ORDER if counts.get(state)]
    if not present:
        return (cell("·" * columns, "quiet"),)
    widths = _shares([counts[state] for state in present], columns)
    return tuple(
        cell(_letter(state) * width, face(state).tone) for state, width in zip(present, widths, strict=True) if width
    )


def count_words(counts: Mapping[UpdateState, int]) -> tuple[Cell, ...]:
    """Return sign, number and word of each state that a device is in."""
    return tuple(
        cell(f"{face(state).sign} {counts[state]} {face(state).word}  ", face(state).tone)
        for state in _ORDER
        if counts.get(state)
    )


def _wave_lines(wave: WaveView) -> tuple[Line, ...]:
    look = face(wave.state)
    done = sum(count for state, count in wave.counts.items() if state.is_final)
    head = line(
        f"  wave {wave.index + 1}  ",
        cell(f"{look.sign} {look.word:<8}", look.tone),
        *bar(wave.counts),
        f"  {done:>3} of {wave.size}",
    )
    counts = (line("    ", *count_words(wave.counts)),) if wave.counts else ()
    verdict = (line("    ", cell(wave.verdict, look.tone)),) if wave.verdict else ()
    return (head, *counts, *verdict)


def _failures(rollout: RolloutView, now: datetime) -> tuple[Part, ...]:
    failed = sorted(
        (device for device in rollout.devices if device.state.is_failure),
        key=lambda device: device.updated_at,
        reverse=True,
    )
    if not failed:
        return ()
    hidden = len(failed) - FAILURES_SHOWN
    more = (line(cell(f"  and {hidden} more: edgeship fleet rollout show {rollout.id} --json", "quiet")),)
    table = Table(
        columns=(
            Column(heading=f"  failures {len(failed)}"),
            Column(heading="device"),
            Column(heading="why", wide=True),
            Column(heading="since", spare=1),
        ),
        rows=tuple(_failure(device, now) for device in failed[:FAILURES_SHOWN]),
    )
    return (table, *(more if hidden > 0 else ()))


def _failure(device: RolloutDeviceView, now: datetime) -> tuple[Cell, ...]:
    state = state_cell(device.state)
    return (
        cell(f"  {state.text}", state.tone),
        cell(device.device),
        cell(": ".join(part for part in (device.code, device.detail) if part) or "no reason given"),
        cell(since(device.updated_at, now), "quiet"),
    )


def _incompatible(rollout: RolloutView) -> tuple[Line, ...]:
    if not rollout.incompatible:
        return ()
    names = ", ".join(rollout.incompatible[:FAILURES_SHOWN])
    return (line(cell(f"  left out {len(rollout.incompatible)}, no artifact for their profile: {names}", "quiet")),)


def _letter(state: UpdateState) -> str:
    if state is UpdateState.HEALTHY:
        return "█"
    if state.is_failure:
        return "x"
    return "░" if state in _WAITING else "▓"


def _shares(counts: list[int], columns: int) -> list[int]:
    """Return widths that add up to ``columns``, each at least 1 while there is room (largest remainder)."""
    total = sum(counts)
    widths = [max(1, count * columns // total) for count in counts]
    while sum(widths) > columns:
        widths[widths.index(max(widths))] -= 1
    remainders = sorted(range(len(counts)), key=lambda place: -(counts[place] * columns % total))
    for place in remainders[: columns - sum(widths)]:
        widths[place] += 1
    return widths
