"""``edgeship server``: set up, look after and run the fleet server.

A domain error is raised as it is; the ``edgeship`` command prints it in one line and exits 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fleet_server.config import ServerConfig

_BROKERS = ("auto", "mosquitto", "amqtt", "external")

data_option = click.option(
    "--data",
    "data_dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The server's folder (database, vault, keys, server.toml), as in --data fleet.",
)


@click.group()
def server() -> None:
    """Set up and run the fleet server."""


@server.command()
@data_option
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the API token to this new file (mode 0600) instead of showing it.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def init(data_dir: Path, token_file: Path | None, *, as_json: bool) -> None:
    """Make a server: database, first person, API token, online key.

    The password is shown this once. Give online.pub.json to the release engineer.
    """
    import json
    from contextlib import ExitStack

    from fleet_server.clock import SystemClock
    from fleet_server.setting_up import new_secret_file, refuse_second_server, set_up_server

    refuse_second_server(data_dir)
    with ExitStack() as files:
        keep_token = files.enter_context(new_secret_file(token_file)) if token_file else None
        made = set_up_server(_config(data_dir), SystemClock().now())
        if keep_token:
            keep_token(made.token)
    facts = {
        "user": made.user,
        "password": made.password,
        "token": str(token_file) if token_file else made.token,
        "online_key": str(data_dir / "online.pub.json"),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"server made in {data_dir}; the password is shown this once:")
    for name, value in facts.items():
        click.echo(f"  {name:<11} {value}")
    click.echo(f"next: make the release repository with {facts['online_key']}, then")
    click.echo(f"      edgeship server trust --data {data_dir} ROOT.json")


@server.command()
@data_option
@click.argument("root", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def trust(data_dir: Path, root: Path) -> None:
    """Trust this root: from now on it says who may sign releases."""
    from contracts.ids import DEFAULT_TENANT
    from fleet_server.clock import SystemClock
    from fleet_server.database.session import open_database, transaction
    from fleet_server.people.store import record_act
    from fleet_server.releases.online_roles import load_online_key
    from fleet_server.releases.publishing import trust_root

    config = _config(data_dir)
    online_key = load_online_key(data_dir)
    now = SystemClock().now()
    text = root.read_bytes().decode("utf-8", errors="replace")
    with transaction(open_database(config.url)) as session:
        version = trust_root(session, DEFAULT_TENANT, text, online_key=online_key, now=now)
        record_act(session, DEFAULT_TENANT, actor="server trust", action="root.trust", thing=f"root {version}", now=now)
    click.echo(f"root version {version} is trusted")


@server.command()
@data_option
@click.option("--http-port", type=click.IntRange(0, 65535), help="Port of API and console; 0 takes a free one.")
@click.option("--broker", type=click.Choice(_BROKERS), help="Which MQTT broker; auto takes mosquitto where installed.")
def run(data_dir: Path, http_port: int | None, broker: str | None) -> None:
    """Serve until stopped: API, console, broker, rollouts."""
    import dataclasses

    from fleet_server.config import BrokerKind
    from fleet_server.errors import ConfigError
    from fleet_server.logs import set_up_logs
    from fleet_server.supervisor import run_server

    config = _config(data_dir)
    if http_port is not None:
        config = dataclasses.replace(config, http=dataclasses.replace(config.http, port=http_port))
    if broker is not None:
        try:
            config = dataclasses.replace(config, broker=dataclasses.replace(config.broker, kind=BrokerKind(broker)))
        except ValueError as error:
            raise ConfigError(f"{error} under [broker] in {data_dir / 'server.toml'}") from error
    set_up_logs(config.log_level)
    run_server(config, say=click.echo)


@server.command()
@data_option
def migrate(data_dir: Path) -> None:
    """Bring the database's schema up to this version."""
    from fleet_server.database.schema import migrate as migrate_schema
    from fleet_server.database.session import open_database

    revision = migrate_schema(open_database(_config(data_dir).url))
    click.echo(f"the schema is at revision {revision}")


@server.command()
@data_option
def doctor(data_dir: Path) -> None:
    """Check what the server needs; exit 1 where something is missing."""
    from fleet_server.checkup import check_up

    findings = check_up(_config(data_dir))
    for finding in findings:
        click.echo(f"{'ok     ' if finding.ok else 'MISSING'} {finding.what}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


def _config(data_dir: Path) -> ServerConfig:
    import os

    from fleet_server.config import load_config

    return load_config(data_dir.absolute(), os.environ)
