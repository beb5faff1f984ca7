"""The ``agent`` commands: join a fleet, run, look, check, go back.

Errors are the package's own and are printed as one line by the ``edgeship`` command. Exit codes: 0 done,
1 failed, 2 wrong usage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

_CONFIG_HERE = Path("agent.toml")

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config import AgentConfig
    from edge_agent.status import AgentStatus
    from edge_agent.trust.standing import Standing


def _config_option(command: Callable[..., None]) -> Callable[..., None]:
    option = click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        callback=_config_path,
        help="The agent's TOML file; by default agent.toml of this folder.",
    )
    return option(command)


def _config_path(context: click.Context, option: click.Parameter, given: Path | None) -> Path:
    if given is not None:
        return given
    if not _CONFIG_HERE.exists():
        raise click.MissingParameter(
            "Name the agent's file, as in --config agent.toml; there is no agent.toml in this folder.", context, option
        )
    return _CONFIG_HERE


def _load(path: Path) -> AgentConfig:
    from edge_agent.config import load_config

    return load_config(path)


@click.group()
def agent() -> None:
    """Run and look after the agent on this device."""


@agent.command()
@_config_option
@click.option("--token", required=True, envvar="EDGESHIP_TOKEN", help="One-time token; or set EDGESHIP_TOKEN.")
def enroll(config_path: Path, token: str) -> None:
    """Join the fleet with a one-time token; the key is made here and stays here."""
    from edge_agent.disk import SystemDisk
    from edge_agent.identity import enroll as join

    answer = join(_load(config_path), token, disk=SystemDisk())
    click.echo(f"enrolled {answer.device} in group {answer.group}; broker {answer.broker_host}:{answer.broker_port}")


@agent.command()
@_config_option
@click.option(
    "--log-level", type=click.Choice(("debug", "info", "warning", "error")), default="info", show_default=True
)
def run(config_path: Path, log_level: str) -> None:
    """Serve, update and report until SIGTERM."""
    from edge_agent.logs import log_to_stderr
    from edge_agent.supervisor import run_agent

    config = _load(config_path)
    log_to_stderr(log_level)
    run_agent(config)


@agent.command()
@_config_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(config_path: Path, *, as_json: bool) -> None:
    """Show what is installed, what the update is doing and what waits to be sent."""
    from contracts.codec import to_plain
    from edge_agent.status import read_status

    seen = read_status(_load(config_path))
    click.echo(json.dumps(to_plain(seen), indent=2) if as_json else _table(seen))
    if not (as_json or seen.broker):
        click.echo(f"not enrolled; next: edgeship agent enroll --config {config_path} --token TOKEN")


@agent.command()
@_config_option
def verify(config_path: Path) -> None:
    """Hash every installed artifact again and show what is trusted; exit 1 if something is not as it was."""
    from edge_agent.errors import ArtifactMismatch
    from edge_agent.status import check_slots, read_trust
    from edge_agent.trust.errors import MemoryDamaged

    config = _load(config_path)
    trust = read_trust(config)
    for name, value in _trust_rows(trust):
        click.echo(f"{name}: {value}")
    checks = check_slots(config)
    for check in checks:
        click.echo(f"{check.model} slot {check.slot}: {check.release} {check.problem or 'is whole'}")
    damaged = [check for check in checks if check.problem]
    if damaged:
        raise ArtifactMismatch(f"{len(damaged)} of {len(checks)} slots are damaged; offer the release again")
    if trust.problem:
        raise MemoryDamaged(trust.problem)


@agent.command()
@_config_option
def revert(config_path: Path) -> None:
    """Let the previous release of every model serve again; a running agent does it within seconds."""
    from edge_agent.disk import SystemDisk
    from edge_agent.errors import AgentRunning
    from edge_agent.state_folder import StateFolder
    from edge_agent.status import read_floors
    from edge_agent.supervisor import hold_state
    from edge_agent.update.slots import Slots
    from edge_agent.update.worker import require_previous, revert_all

    config = _load(config_path)
    state, floors = StateFolder(config.state_dir), read_floors(config)
    try:
        with hold_state(state.path):
            for model, release in revert_all(Slots(state.models, SystemDisk()), floors):
                click.echo(f"{model}: {release} serves from the next start on")
    except AgentRunning:
        require_previous(Slots(state.models, SystemDisk()), floors)
        SystemDisk().write(state.revert_requested, b"")
        click.echo("asked the running agent to go back; see: edgeship agent status")


def _table(seen: AgentStatus) -> str:
    rows = [
        ("device", f"{seen.device} (group {seen.group})"),
        ("broker", seen.broker or "-"),
        ("serving", seen.serving or "not running"),
        ("update", f"{seen.update}, newest offer {seen.generation}"),
        *((f"model {held.model}", f"{held.good or '-'}, previous {held.previous or '-'}") for held in seen.models),
        ("reports waiting", str(seen.reports_waiting)),
        *_trust_rows(seen.trust),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _trust_rows(trust: Standing) -> list[tuple[str, str]]:
    at = trust.last_trusted_time
    return [
        ("trusted roots", f"models version {trust.models_root}, director version {trust.director_root}"),
        ("director", f"version {trust.director_version}" if trust.director_version else "not heard yet"),
        ("last trusted time", at.isoformat() if at else "none yet"),
        *([("trust memory", trust.problem)] if trust.problem else []),
        *((f"floor of {model}", f"release counter {floor}") for model, floor in trust.floors.items()),
    ]
