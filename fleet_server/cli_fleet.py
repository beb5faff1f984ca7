"""``edgeship fleet`` and ``edgeship drift``: the console's pages on a terminal, over the same API.

Tables for people, ``--json`` for programs. Errors are the server's own sentences; exit 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet_server.terminal.desk import desk_options
from fleet_server.terminal.rollout_commands import rollout

if TYPE_CHECKING:
    from fleet_server.terminal.desk import Desk


@click.group()
def fleet() -> None:
    """Operate devices, groups, rollouts and alerts."""


fleet.add_command(rollout)


@fleet.command("login")
@click.option("--server", envvar="EDGESHIP_SERVER", required=True, help="Address of the fleet server.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="EDGESHIP_TOKEN_FILE",
    help="File with the API token; asked for where it is not given.",
)
def login(server: str, *, token_file: Path | None) -> None:
    """Try the token and keep it for the next commands, readable by you alone."""
    from fleet_server.client import FleetClient
    from signing.session import Session, read_token, write_session

    token = read_token(token_file) if token_file else click.prompt("API token", hide_input=True, err=True).strip()
    overview = FleetClient.at(server, token).overview()
    path = write_session(Session(server=server, token=token), Path.home())
    click.echo(f"✓ signed in to {server}, devices {overview.devices}; kept in {path}")


@fleet.command("status")
@desk_options
def status(desk: Desk) -> None:
    """Is anything wrong? The console's overview."""
    from fleet_server.terminal.tables import overview_page

    overview = desk.client.overview()
    desk.show(overview, lambda: overview_page(overview, desk.now()))


@fleet.group()
def device() -> None:
    """List devices, look at one, let new ones join."""


@device.command("ls")
@click.argument("query", default="")
@desk_options
def device_ls(desk: Desk, query: str) -> None:
    """List devices; QUERY is the console's filter line, as in 'status:offline group:lyon -lab'."""
    from fleet_server.terminal.device_filter import closed_words, matching_devices
    from fleet_server.terminal.tables import device_table

    devices = matching_devices(desk.client.devices(), query)
    desk.show(devices, lambda: (device_table(devices, desk.now()),))
    meant = () if devices else closed_words(query)
    if meant:
        click.echo(f"did you mean {' '.join(meant)}?", err=True)


@device.command("show")
@click.argument("device_id", metavar="DEVICE")
@desk_options
def device_show(desk: Desk, device_id: str) -> None:
    """Show everything about one device."""
    from contracts.ids import parse_device_id
    from fleet_server.terminal.tables import device_page

    found = desk.client.device(parse_device_id(device_id))
    desk.show(found, lambda: device_page(found, desk.now()), path=f"/devices/{found.id}")


@device.command("transfers")
@click.argument("device_id", metavar="DEVICE")
@desk_options
def device_transfers(desk: Desk, device_id: str) -> None:
    """Show how artifacts' chunks went to one device."""
    from contracts.ids import parse_device_id
    from fleet_server.terminal.tables import transfer_table

    transfers = desk.client.transfers(parse_device_id(device_id))
    desk.show(transfers, lambda: (transfer_table(transfers, desk.now()),))


@device.command("revoke")
@click.argument("device_id", metavar="DEVICE")
@desk_options
def device_revoke(desk: Desk, *, device_id: str) -> None:
    """Shut a device out for ever: its certificates, reports and requests count no more."""
    from contracts.ids import parse_device_id
    from fleet_server.terminal.page import line

    revoked = desk.client.revoke(parse_device_id(device_id))
    said = line(f"✓ {revoked.id} is revoked; its session with the broker ends within seconds, and it cannot come back")
    desk.show(revoked, lambda: (said,), path=f"/devices/{revoked.id}")


@device.group("token")
def device_token() -> None:
    """Let new devices join."""


@device_token.command("create")
@click.option("--group", "group_name", required=True, help="Group that the devices join.")
@click.option("--uses", type=click.IntRange(1), default=1, show_default=True, help="How many devices may join with it.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True, help="Its lifetime.")
@desk_options(json_too=False)
def token_create(desk: Desk, *, group_name: str, uses: int, hours: float) -> None:
    """Print a new enrollment token; it is shown this once."""
    from contracts.ids import parse_group_name

    group = parse_group_name(group_name)
    click.echo(desk.client.create_enrollment_token(group, uses=uses, ttl_s=max(1, round(hours * 3600))))


@fleet.group()
def group() -> None:
    """List and make groups."""


@group.command("ls")
@desk_options
def group_ls(desk: Desk) -> None:
    """List groups."""
    from fleet_server.terminal.tables import group_table

    groups = desk.client.groups()
    desk.show(groups, lambda: (group_table(groups),))


@group.command("create")
@click.argument("name")
@desk_options(json_too=False)
def group_create(desk: Desk, *, name: str) -> None:
    """Make a group."""
    from contracts.ids import parse_group_name

    desk.client.create_group(parse_group_name(name))
    click.echo(f"✓ group {name} exists. Next: edgeship fleet device token create --group {name}")


@fleet.group()
def release() -> None:
    """See what can be rolled out."""


@release.command("ls")
@desk_options
def release_ls(desk: Desk) -> None:
    """List published releases."""
    from fleet_server.terminal.tables import release_table

    releases = desk.client.releases()
    desk.show(releases, lambda: (release_table(releases, desk.now()),))


@fleet.command()
@desk_options
def trust(desk: Desk) -> None:
    """Show what the server trusts: roots, targets and teams, until when, and security floors."""
    from fleet_server.terminal.trust_page import trust_page

    found = desk.client.trust()
    desk.show(found, lambda: trust_page(found, desk.now()))


@fleet.group()
def alert() -> None:
    """List and acknowledge alerts."""


@alert.command("ls")
@click.option("--all", "everything", is_flag=True, help="Also those that are acknowledged or cleared.")
@desk_options
def alert_ls(desk: Desk, *, everything: bool) -> None:
    """List open alerts."""
    from fleet_server.readmodel import AlertState
    from fleet_server.terminal.tables import alert_table

    alerts = tuple(one for one in desk.client.alerts() if everything or one.state is AlertState.OPEN)
    desk.show(alerts, lambda: (alert_table(alerts, desk.now(), empty="No alert is open."),))


@alert.command("ack")
@click.argument("alert_id", metavar="ALERT")
@desk_options
def alert_ack(desk: Desk, *, alert_id: str) -> None:
    """Note that you look after the alert."""
    from fleet_server.terminal.page import line

    acknowledged = desk.client.acknowledge(alert_id)
    said = line(f"✓ {acknowledged.id} is {acknowledged.state}, by {acknowledged.acknowledged_by}: {acknowledged.title}")
    desk.show(acknowledged, lambda: (said,))


@fleet.group()
def retrain() -> None:
    """See what should be retrained, and on what evidence."""


@retrain.command("ls")
@desk_options
def retrain_ls(desk: Desk) -> None:
    """List retrain requests."""
    from fleet_server.terminal.tables import retrain_table

    requests = desk.client.retrain_requests()
    desk.show(requests, lambda: (retrain_table(requests, desk.now()),))


@retrain.command("show")
@click.argument("request_id", metavar="REQUEST")
@desk_options
def retrain_show(desk: Desk, *, request_id: str) -> None:
    """Show one retrain request."""
    from fleet_server.terminal.tables import retrain_page

    request = desk.client.retrain_request(request_id)
    desk.show(request, lambda: retrain_page(request))


@click.group()
def drift() -> None:
    """See which inputs moved."""


@drift.command("ls")
@desk_options
def drift_ls(desk: Desk) -> None:
    """List devices whose inputs moved: open drift alerts."""
    from fleet_server.readmodel import AlertKind, AlertState
    from fleet_server.terminal.tables import drift_table

    moved = tuple(
        one for one in desk.client.alerts() if one.kind is AlertKind.DRIFT and one.state is not AlertState.CLEARED
    )
    desk.show(moved, lambda: (drift_table(moved, desk.now()),))


@drift.command("show")
@click.argument("device_id", metavar="DEVICE")
@desk_options
def drift_show(desk: Desk, *, device_id: str) -> None:
    """Show one device's inputs, then and now."""
    from contracts.ids import parse_device_id
    from fleet_server.terminal.histogram import device_drift, drift_page
    from fleet_server.terminal.page import line

    found = desk.client.device(parse_device_id(device_id))
    sketches = desk.client.sketches(found.id)
    plan = desk.client.sketch_plan(sketches[0].release, found.profile) if sketches else None
    seen = device_drift(found.id, plan, sketches) if plan else None
    nothing = line(f"{found.id} has sent no sketch yet; one comes when a window with requests closes.")
    desk.show(seen, lambda: drift_page(seen) if seen else (nothing,), path=f"/devices/{found.id}")
