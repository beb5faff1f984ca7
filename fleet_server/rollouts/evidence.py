"""The evidence for a wave's gate: windows that came in since its devices became healthy.

The wave's side is its healthy devices under the new release. The control's side is the devices of the
group that were not offered it and say that they run what the wave's devices ran before, in the
same period; where there is none (the last wave, a first install) it is what the artifacts themselves
recorded on their calibration data, and latency is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from contracts.ids import DeviceId, ProfileName
from contracts.sketch import OutputReference, Sketch
from contracts.update import UpdateState
from fleet_server.drift.baseline import plan_of
from fleet_server.drift.store import sketches_since
from fleet_server.rollouts import conductor_store as rows
from fleet_server.rollouts.comparison import add_counts
from fleet_server.rollouts.guard import Against, Evidence, LatencyPair

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fleet_server.database.tables import RolloutDeviceRow, RolloutRow

Windows: TypeAlias = "Sequence[tuple[ProfileName, Sketch]]"

NO_EVIDENCE = Evidence(against=Against.REFERENCE)


def gather(session: Session, row: RolloutRow, parts: Sequence[RolloutDeviceRow]) -> Evidence:
    """Return what was seen of the wave whose parts these are, and of its control.

    At least one part must be healthy.
    """
    healthy = {
        part.device: part.healthy_at
        for part in parts
        if part.state is UpdateState.HEALTHY and part.healthy_at is not None
    }
    since = min(healthy.values())
    previous = {part.previous_release for part in parts if part.previous_release is not None}
    offered = {part.device for part in rows.parts_of(session, row) if part.offered_at is not None}
    profiles = rows.profiles_of(session, row.tenant, healthy)
    wave = sketches_since(session, row.tenant, devices=list(healthy), releases=[row.release], since=since)
    running_previous = rows.devices_running(session, row, previous)
    control = {device: profile for device, profile in running_previous.items() if device not in offered}
    if not control:
        return against_reference(_with_profiles(wave, profiles), rows.headers_of(session, row, set(profiles.values())))
    seen = sketches_since(session, row.tenant, devices=list(control), releases=previous, since=since)
    return against_devices(_with_profiles(wave, profiles), _with_profiles(seen, control))


def against_devices(wave: Windows, control: Windows) -> Evidence:
    """Return the evidence of the wave's windows beside the control devices' windows."""
    both = {profile for profile, _ in wave} & {profile for profile, _ in control}
    return Evidence(
        against=Against.CONTROL,
        wave_rows=_rows(wave),
        control_rows=_rows(control),
        wave=_answers(wave),
        control=_answers(control),
        latencies=tuple(
            LatencyPair(profile=profile, wave=_latencies(wave, profile), control=_latencies(control, profile))
            for profile in sorted(both)
        ),
    )


def against_reference(wave: Windows, headers: Iterable[bytes]) -> Evidence:
    """Return the evidence of the wave's windows beside what the artifacts with these headers recorded."""
    references = [plan_of(header).output for header in headers]
    control = OutputReference(
        class_counts=add_counts(reference.class_counts for reference in references),
        confidence_counts=add_counts(reference.confidence_counts for reference in references),
    )
    return Evidence(
        against=Against.REFERENCE,
        wave_rows=_rows(wave),
        control_rows=sum(control.class_counts),
        wave=_answers(wave),
        control=control,
    )


def _with_profiles(
    windows: Iterable[tuple[DeviceId, Sketch]], profiles: Mapping[DeviceId, ProfileName]
) -> list[tuple[ProfileName, Sketch]]:
    return [(profiles[device], window) for device, window in windows]


def _rows(windows: Windows) -> int:
    return sum(window.rows for _, window in windows)


def _answers(windows: Windows) -> OutputReference:
    return OutputReference(
        class_counts=add_counts(window.class_counts for _, window in windows),
        confidence_counts=add_counts(window.confidence_counts for _, window in windows),
    )


def _latencies(windows: Windows, profile: ProfileName) -> tuple[int, ...]:
    return add_counts(window.latency_counts for mine, window in windows if mine == profile)
