"""Lists as tables: devices, groups, releases, rollouts, alerts, retrain requests, transfers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from contracts.retrain import MovedFeature, RetrainRequest
from fleet_server.console.words import absolute, face, plain_number, since, size
from fleet_server.readmodel import (
    AlertView,
    DeviceView,
    GroupView,
    OverviewView,
    ReleaseView,
    RolloutView,
    TransferView,
)
from fleet_server.terminal.page import Cell, Column, Line, Part, Table, cell, line, state_cell


def overview_page(overview: OverviewView, now: datetime) -> tuple[Part, ...]:
    """Return the four numbers, what runs where, active rollouts and open alerts."""
    return (
        line(
            _count(overview.online, f"of {overview.devices} online", "healthy"),
            "   ",
            _count(overview.failing, "failing", "failed"),
            "   ",
            _count(len(overview.active_rollouts), "rolling out", "accent"),
            "   ",
            _count(len(overview.open_alerts), "to look at", "failed"),
        ),
        line(),
        Table(
            columns=(Column(heading="running"), Column(heading="devices", number=True)),
            rows=tuple((cell(release), cell(count)) for release, count in sorted(overview.versions.items())),
            empty="No device runs a release yet.",
        ),
        line(),
        rollout_table(overview.active_rollouts, now, empty="No rollout is active."),
        line(),
        alert_table(overview.open_alerts, now, empty="No alert is open."),
    )


def device_table(devices: Sequence[DeviceView], now: datetime) -> Table:
    """Return one row for each device."""
    return Table(
        columns=(
            Column(heading="device"),
            Column(heading="state"),
            Column(heading="group", spare=1),
            Column(heading="profile", spare=2),
            Column(heading="running"),
            Column(heading="update"),
            Column(heading="alerts", number=True),
        ),
        rows=tuple(
            (
                cell(device.id),
                state_cell(device.status, since(device.last_seen_at, now)),
                cell(device.group),
                cell(device.profile),
                cell(" ".join(device.running.values())),
                cell(None) if device.update_state is None else state_cell(device.update_state),
                cell(device.open_alerts or None, "failed" if device.open_alerts else ""),
            )
            for device in devices
        ),
        empty="No device matches. All of them: edgeship fleet device ls",
    )


def device_page(device: DeviceView, now: datetime) -> tuple[Part, ...]:
    """Return everything about one device."""
    latency = f"p50 {plain_number(device.latency_p50_ms)} ms, p95 {plain_number(device.latency_p95_ms)} ms"
    facts: list[tuple[str, Cell]] = [
        ("state", state_cell(device.status, since(device.last_seen_at, now))),
        ("group", cell(device.group)),
        ("profile", cell(device.profile)),
        ("running", cell(", ".join(device.running.values()))),
        ("offered", cell(device.offered)),
        ("update", cell(None) if device.update_state is None else state_cell(device.update_state)),
        ("reason", cell(": ".join(part for part in (device.update_code, device.update_detail) if part))),
        ("requests", cell(f"{device.requests} since the last heartbeat, {latency}" if device.requests else "none")),
        ("memory", cell(size(device.memory_bytes))),
        ("agent", cell(device.agent_version)),
        ("boot", cell(device.boot)),
        ("enrolled", cell(absolute(device.enrolled_at))),
        ("alerts", cell(f"open {device.open_alerts}", "failed") if device.open_alerts else cell("none open")),
    ]
    return (line(cell(device.id, "strong")), *(_fact(word, value) for word, value in facts))


def transfer_table(transfers: Sequence[TransferView], now: datetime) -> Table:
    """Return one row for each artifact whose chunks were asked for."""
    numbers = ("chunks", "asked for", "distinct", "again after verified")
    return Table(
        columns=(
            Column(heading="artifact"),
            *(Column(heading=heading, number=True) for heading in numbers),
            Column(heading="saved", number=True),
            Column(heading="last"),
        ),
        rows=tuple(
            (
                cell(f"{one.artifact[:12]} by delta" if one.by_delta else one.artifact[:12]),
                cell(one.chunks),
                cell(one.requested),
                cell(one.distinct),
                cell(one.repeated_verified, "failed" if one.repeated_verified else "healthy"),
                cell(size(one.saved_bytes) if one.saved_bytes else None),
                cell(since(one.updated_at, now)),
            )
            for one in transfers
        ),
        empty="The device has asked for no chunk yet.",
    )


def group_table(groups: Sequence[GroupView]) -> Table:
    """Return one row for each group."""
    return Table(
        columns=(
            Column(heading="group"),
            Column(heading="devices", number=True),
            Column(heading="online", number=True),
        ),
        rows=tuple((cell(group.name), cell(group.devices), cell(group.online)) for group in groups),
        empty="No group yet. Make one: edgeship fleet group create NAME",
    )


_BARRED = 7
"""Place of the column that is there only where a release is barred."""


def release_table(releases: Sequence[ReleaseView], now: datetime) -> Table:
    """Return one row for each artifact of each release."""
    columns = (
        Column(heading="release"),
        Column(heading="counter", number=True),
        Column(heading="profile"),
        Column(heading="size", number=True),
        Column(heading="digest", spare=1),
        Column(heading="running on", number=True),
        Column(heading="published", spare=2),
        *([Column(heading="barred", wide=True)] if any(release.barred for release in releases) else []),
    )
    rows = tuple(
        (
            cell(release.id),
            cell(release.counter),
            cell(artifact.profile),
            cell(size(artifact.length)),
            cell(artifact.digest[:12]),
            cell(release.running_on),
            cell(since(release.published_at, now)),
            *([cell(release.barred)] if len(columns) > _BARRED else []),
        )
        for release in releases
        for artifact in release.artifacts
    )
    return Table(columns=columns, rows=rows, empty="No release yet. Publish one: edgeship release publish")


def rollout_table(rollouts: Sequence[RolloutView], now: datetime, *, empty: str) -> Table:
    """Return one row for each rollout."""
    return Table(
        columns=(
            Column(heading="rollout"),
            Column(heading="state"),
            Column(heading="release"),
            Column(heading="group"),
            Column(heading="healthy", number=True),
            Column(heading="failed", number=True),
            Column(heading="started", spare=1),
            Column(heading="by", spare=2),
        ),
        rows=tuple(_rollout_row(rollout, now) for rollout in rollouts),
        empty=empty,
    )


def alert_table(alerts: Sequence[AlertView], now: datetime, *, empty: str) -> Table:
    """Return one row for each alert."""
    return Table(
        columns=(
            Column(heading="alert"),
            Column(heading="kind"),
            Column(heading="state", spare=1),
            Column(heading="device"),
            Column(heading="what", wide=True),
            Column(heading="since"),
        ),
        rows=tuple(
            (
                cell(alert.id),
                state_cell(alert.kind),
                state_cell(alert.state),
                cell(alert.device),
                cell(alert.title),
                cell(since(alert.opened_at, now)),
            )
            for alert in alerts
        ),
        empty=empty,
    )


def drift_table(alerts: Sequence[AlertView], now: datetime) -> Table:
    """Return one row for each device whose inputs moved."""
    return Table(
        columns=(
            Column(heading="device"),
            Column(heading="release", spare=1),
            Column(heading="moved (PSI, mean then and now)", wide=True),
            Column(heading="since"),
            Column(heading="retrain"),
        ),
        rows=tuple(
            (
                cell(alert.device),
                cell(alert.release),
                cell("; ".join(map(moved_words, alert.moved)), "rolled_back"),
                cell(since(alert.opened_at, now)),
                cell(alert.retrain),
            )
            for alert in alerts
        ),
        empty="No drift alert is open. One device's inputs: edgeship drift show DEVICE",
    )


def retrain_table(requests: Sequence[RetrainRequest], now: datetime) -> Table:
    """Return one row for each retrain request."""
    return Table(
        columns=(
            Column(heading="request"),
            Column(heading="release"),
            Column(heading="moved", wide=True),
            Column(heading="devices", number=True),
            Column(heading="rows", number=True),
            Column(heading="made"),
        ),
        rows=tuple(
            (
                cell(one.id),
                cell(one.release),
                cell(", ".join(moved.name for moved in one.moved)),
                cell(len(one.devices)),
                cell(one.rows),
                cell(since(one.created_at, now)),
            )
            for one in requests
        ),
        empty="No retrain request: no input of any device has moved far enough.",
    )


def retrain_page(request: RetrainRequest) -> tuple[Part, ...]:
    """Return what to retrain and on what evidence."""
    window = f"{absolute(request.window_started_at)} to {absolute(request.window_ended_at)}"
    facts = {
        "model": request.model,
        "release": request.release,
        "alert": request.alert,
        "evidence": f"{request.rows} rows, {window}",
        "devices": ", ".join(request.devices),
    }
    moved = (line("  ", cell("≈ ", "rolled_back"), moved_words(one)) for one in request.moved)
    return (line(cell(request.id, "strong")), *_facts(facts), line("moved"), *moved)


def moved_words(moved: MovedFeature) -> str:
    """Return how far the input moved, in words."""
    then, now = plain_number(moved.reference_mean), plain_number(moved.current_mean)
    return f"{moved.name} PSI {moved.psi:.2f} ({then} → {now})"


def _rollout_row(rollout: RolloutView, now: datetime) -> tuple[Cell, ...]:
    healthy = sum(face(device.state).tone == "healthy" for device in rollout.devices)
    failed = sum(device.state.is_failure for device in rollout.devices)
    return (
        cell(rollout.id),
        state_cell(rollout.state),
        cell(rollout.spec.release),
        cell(rollout.spec.group),
        cell(f"{healthy} of {len(rollout.devices)}"),
        cell(failed or None, "failed" if failed else ""),
        cell(since(rollout.created_at, now)),
        cell(rollout.created_by),
    )


def _count(number: int, words: str, tone: str) -> Cell:
    return cell(f"{number} {words}", tone if number else "quiet")


def _facts(facts: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(_fact(word, cell(value)) for word, value in facts.items())


def _fact(word: str, value: Cell) -> Line:
    return line(cell(f"  {word:<10}", "quiet"), value)
