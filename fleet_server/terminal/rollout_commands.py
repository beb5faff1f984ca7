"""``edgeship fleet rollout``: start, watch and steer rollouts."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from fleet_server.terminal.desk import desk_options

if TYPE_CHECKING:
    from contracts.ids import RolloutId
    from fleet_server.client import RolloutAction
    from fleet_server.readmodel import RolloutView
    from fleet_server.rollouts.spec import GateSpec, RolloutSpec
    from fleet_server.terminal.desk import Desk
    from fleet_server.terminal.page import Part


def _ratio(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Return the ratio (0..1) that ``5%`` or ``0.05`` spells."""
    if text is None:
        return None
    try:
        ratio = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise click.BadParameter(f"{text!r} is no share; write it as 5% or 0.05", context, option)
    return ratio


@click.group()
def rollout() -> None:
    """Start, watch and steer rollouts."""


@rollout.command("create")
@click.argument("release")
@click.option("--to", "group", required=True, metavar="GROUP", help="Group whose devices get it.")
@click.option("--waves", default="1,100%", show_default=True, help="Counts, or cumulative shares; the last is 100%.")
@click.option("--max-fail", "max_failed_ratio", callback=_ratio, help="Share of a wave's devices that may fail, as 5%.")
@click.option("--min-devices", type=click.IntRange(1), help="Devices that must have finished before a wave is judged.")
@click.option(
    "--soak", "soak_s", type=click.FloatRange(0), help="Seconds that a wave's devices serve before judgement; else 60."
)
@click.option(
    "--patience", "patience_s", type=click.FloatRange(0), help="Seconds to wait for enough rows after that; else 900."
)
@click.option("--min-rows", type=click.IntRange(0), help="Rows to compare on each side (0: none); else 100.")
@click.option("--max-class-distance", callback=_ratio, help="How far the class mix may depart; else 25%.")
@click.option("--max-confidence-shift", callback=_ratio, help="How far the confidence may depart; else 35%.")
@click.option("--max-latency-ratio", type=click.FloatRange(1), help="Bound of p95 over the previous release's; else 5.")
@click.option(
    "--max-bytes-s", type=click.IntRange(0), default=0, help="Bound of each device's download, bytes a second."
)
@click.option("--device-timeout", "device_timeout_s", type=click.FloatRange(1), default=900.0, show_default=True)
@click.option("--halt-on-failure", is_flag=True, help="Wait for a person instead of rolling back.")
@desk_options
def rollout_create(
    desk: Desk,
    *,
    release: str,
    group: str,
    waves: str,
    max_bytes_s: int,
    device_timeout_s: float,
    halt_on_failure: bool,
    **gate: float | None,
) -> None:
    """Start rolling RELEASE (MODEL@VERSION) out to a group, wave by wave."""
    from contracts.ids import parse_group_name, parse_release_id
    from fleet_server.rollouts.spec import RolloutSpec

    spec = RolloutSpec(
        release=parse_release_id(release),
        group=parse_group_name(group),
        waves=tuple(wave.strip() for wave in waves.split(",")),
        gate=_gate(gate),
        max_bytes_s=max_bytes_s,
        device_timeout_s=device_timeout_s,
        roll_back_on_failure=not halt_on_failure,
    )
    is_first = spec.gate.min_rows > 0 and _is_first_install(desk, spec)
    _show(desk, desk.client.create_rollout(spec))
    if is_first:
        click.echo(
            f"note: first install: no device of {spec.group} runs a release of this model, so nothing to compare; "
            f"a wave waits for {spec.gate.min_rows} rows; add --min-rows 0 to skip the comparison",
            err=True,
        )


@rollout.command("ls")
@desk_options
def rollout_ls(desk: Desk) -> None:
    """List rollouts."""
    from fleet_server.terminal.tables import rollout_table

    rollouts = desk.client.rollouts()
    empty = "No rollout yet. Start one: edgeship fleet rollout create RELEASE --to GROUP"
    desk.show(rollouts, lambda: (rollout_table(rollouts, desk.now(), empty=empty),))


@rollout.command("show")
@click.argument("rollout_id", metavar="[ROLLOUT]", required=False)
@desk_options
def rollout_show(desk: Desk, *, rollout_id: str | None) -> None:
    """Show one rollout (the newest where none is named): what was asked for and how it stands."""
    from contracts.ids import parse_rollout_id
    from fleet_server.terminal.rollout_page import rollout_page, spec_page

    view = desk.client.rollout(parse_rollout_id(rollout_id) if rollout_id else _newest(desk))

    def page() -> tuple[Part, ...]:
        return (*rollout_page(view, desk.now()), *spec_page(view))

    desk.show(view, page, path=f"/rollouts/{view.id}")


def _is_first_install(desk: Desk, spec: RolloutSpec) -> bool:
    """Whether the group has devices and none of them runs any release of the model."""
    from contracts.ids import split_release_id

    model, _ = split_release_id(spec.release)
    running = [device.running for device in desk.client.devices() if device.group == spec.group]
    return bool(running) and not any(model in releases for releases in running)


def _newest(desk: Desk) -> RolloutId:
    views = desk.client.rollouts()
    if not views:
        raise click.ClickException("no rollout yet; start one with 'edgeship fleet rollout create'")
    return max(views, key=lambda view: view.created_at).id


@rollout.command("watch")
@click.argument("rollout_id", metavar="[ROLLOUT]", required=False)
@click.option("--every", "interval_s", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds.")
@desk_options(json_too=False)
def rollout_watch(desk: Desk, *, rollout_id: str | None, interval_s: float) -> None:
    """Follow one rollout (the newest where none is named) until it is over.

    Exit 0 completed, 2 aborted, 3 a gate failed.
    """
    from contracts.ids import parse_rollout_id
    from fleet_server.terminal.watching import watch

    code = watch(
        desk.client,
        parse_rollout_id(rollout_id) if rollout_id else _newest(desk),
        screen=desk.screen,
        now=desk.now,
        pause=lambda: time.sleep(interval_s),
    )
    sys.exit(code)


@rollout.command("pause")
@click.argument("rollout_id", metavar="ROLLOUT")
@desk_options
def rollout_pause(desk: Desk, *, rollout_id: str) -> None:
    """Offer it to no further device until resumed."""
    from fleet_server.client import RolloutAction

    _steer(desk, rollout_id, RolloutAction.PAUSE)


@rollout.command("resume")
@click.argument("rollout_id", metavar="ROLLOUT")
@desk_options
def rollout_resume(desk: Desk, *, rollout_id: str) -> None:
    """Go on with a paused rollout."""
    from fleet_server.client import RolloutAction

    _steer(desk, rollout_id, RolloutAction.RESUME)


@rollout.command("abort")
@click.argument("rollout_id", metavar="ROLLOUT")
@desk_options
def rollout_abort(desk: Desk, *, rollout_id: str) -> None:
    """Stop it for good; devices that have the release keep it."""
    from fleet_server.client import RolloutAction

    _steer(desk, rollout_id, RolloutAction.ABORT)


@rollout.command("rollback")
@click.argument("rollout_id", metavar="ROLLOUT")
@click.option("--yes", is_flag=True, help="Do not ask.")
@desk_options
def rollout_rollback(desk: Desk, *, rollout_id: str, yes: bool) -> None:
    """Stop it and bring devices that have the release back to the previous one."""
    from contracts.ids import parse_rollout_id
    from fleet_server.client import RolloutAction

    if not yes:
        _confirm(desk.client.rollout(parse_rollout_id(rollout_id)))
    _steer(desk, rollout_id, RolloutAction.ROLLBACK)


def _confirm(view: RolloutView) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask on; add --yes to roll back")
    touched = sum(device.state.is_final and not device.state.is_failure for device in view.devices)
    click.confirm(f"Roll back {touched} devices from {view.spec.release}?", abort=True, err=True)


def _steer(desk: Desk, rollout_id: str, action: RolloutAction) -> None:
    from contracts.ids import parse_rollout_id

    _show(desk, desk.client.steer(parse_rollout_id(rollout_id), action))


def _show(desk: Desk, view: RolloutView) -> None:
    from fleet_server.terminal.page import line
    from fleet_server.terminal.rollout_page import rollout_page

    follow = line(f"  Follow it: edgeship fleet rollout watch {view.id}")
    desk.show(view, lambda: (*rollout_page(view, desk.now()), follow), path=f"/rollouts/{view.id}")


def _gate(options: dict[str, float | None]) -> GateSpec:
    from contracts.codec import from_plain
    from fleet_server.rollouts.spec import GateSpec

    return from_plain(GateSpec, {name: value for name, value in options.items() if value is not None})
