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

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

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
    """Make a server: database, first person, API token, the server's keys.

    The password is shown this once. Give online.pub.json and director.pub.json to the release engineers.
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
        "director_key": str(data_dir / "director.pub.json"),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"server made in {data_dir}; the password is shown this once:")
    for name, value in facts.items():
        click.echo(f"  {name:<12} {value}")
    click.echo("next: make the release repository with both keys, then")
    click.echo(f"      edgeship server trust --data {data_dir} ROOT_JSON DIRECTOR_ROOT_JSON")


@server.command()
@data_option
@click.argument("root_json", type=_FILE)
@click.argument("director_root_json", type=_FILE)
def trust(data_dir: Path, root_json: Path, director_root_json: Path) -> None:
    """Trust these roots: they say who may sign releases, and that this server may direct devices.

    ROOT_JSON is metadata/root.json of the release repository, DIRECTOR_ROOT_JSON its director/root.json.
    """
    from contracts.ids import DEFAULT_TENANT
    from contracts.metadata import RepositoryName
    from fleet_server.clock import SystemClock
    from fleet_server.database.session import open_database, transaction
    from fleet_server.people.store import record_act
    from fleet_server.releases.publishing import trust_roots
    from fleet_server.trust.keys import open_rings

    config = _config(data_dir)
    rings = open_rings(data_dir)
    now = SystemClock().now()
    files = {RepositoryName.MODELS: root_json, RepositoryName.DIRECTOR: director_root_json}
    texts = {name: path.read_bytes().decode("utf-8", errors="replace") for name, path in files.items()}
    with transaction(open_database(config.url)) as session:
        versions = trust_roots(session, DEFAULT_TENANT, texts, rings=rings, now=now)
        for name, version in versions.items():
            thing = f"{name} root {version}"
            record_act(session, DEFAULT_TENANT, actor="server trust", action="root.trust", thing=thing, now=now)
            click.echo(f"{name} root version {version} is trusted")


@server.command("new-key")
@data_option
@click.argument("name", type=click.Choice(("online", "director")))
def new_key(data_dir: Path, name: str) -> None:
    """Make the next key of that name; it signs once a root that names it is published.

    Until then the old one goes on signing. Give the new public half to the release engineers.
    """
    from fleet_server.trust.keys import KeyName, add_key

    _, public = add_key(data_dir, KeyName(name))
    click.echo(f"made {public}; next: name it in a new root, sign that and publish it")


@server.command()
@data_option
@click.option("--http-port", type=click.IntRange(0, 65535), help="Port of API and console; 0 takes a free one.")
@click.option("--devices-port", type=click.IntRange(0, 65535), help="Port of the devices' HTTPS; 0 takes a free one.")
@click.option("--broker", type=click.Choice(_BROKERS), help="Which MQTT broker; auto takes mosquitto where installed.")
def run(data_dir: Path, *, http_port: int | None, devices_port: int | None, broker: str | None) -> None:
    """Serve until stopped: API, console, broker, rollouts."""
    import dataclasses

    from fleet_server.config import BrokerKind
    from fleet_server.errors import ConfigError
    from fleet_server.logs import set_up_logs
    from fleet_server.supervisor import run_server

    config = _config(data_dir)
    if http_port is not None:
        config = dataclasses.replace(config, http=dataclasses.replace(config.http, port=http_port))
    if devices_port is not None:
        config = dataclasses.replace(config, devices=dataclasses.replace(config.devices, port=devices_port))
    if broker is not None:
        try:
            config = dataclasses.replace(config, broker=dataclasses.replace(config.broker, kind=BrokerKind(broker)))
        except ValueError as error:
            raise ConfigError(f"{error} under [broker] in {data_dir / 'server.toml'}") from error
    set_up_logs(config.log_level)
    run_server(config, say=click.echo)


@server.command("broker-config")
@data_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here; by default it is printed.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Address that the broker listens on.")  # noqa: S104 (a broker for devices elsewhere; nobody comes in without a certificate)
@click.option("--port", type=click.IntRange(1, 65535), default=8883, show_default=True, help="Its port.")
@click.option(
    "--certificates",
    type=click.Path(path_type=Path),
    help="Folder of ca.pem, server.pem and crl.pem on the broker's machine; by default DATA/identity.",
)
def broker_config(data_dir: Path, *, out: Path | None, host: str, port: int, certificates: Path | None) -> None:
    """Write a hardened configuration for a mosquitto that others run, and its access rules beside it."""
    from fleet_server.broker.access import mosquitto_rules
    from fleet_server.broker.mosquitto import configuration_for_others, write_configuration
    from fleet_server.clock import SystemClock
    from fleet_server.database.session import open_database
    from fleet_server.identity.keeping import Identity

    config = _config(data_dir)
    engine = open_database(config.url)
    try:
        identity = Identity.open(config, engine, SystemClock())
    finally:
        engine.dispose()
    folder = certificates or identity.folder.path
    if out is None:
        click.echo(
            configuration_for_others(host=host, port=port, certificates=folder, rules=Path("edgeship.acl")), nl=False
        )
        click.echo(
            "\n# edgeship.acl, without the comment signs:\n"
            + "".join(f"# {line}\n" for line in mosquitto_rules().splitlines()),
            nl=False,
        )
        return
    rules = write_configuration(out.absolute(), host=host, port=port, certificates=folder)
    click.echo(f"written: {out} and {rules}")


@server.command()
@data_option
def migrate(data_dir: Path) -> None:
    """Bring the database's schema up to this version, and make the keys that it needs and are not there."""
    from fleet_server.database.schema import migrate as migrate_schema
    from fleet_server.database.session import open_database
    from fleet_server.setting_up import make_missing_keys

    make_missing_keys(data_dir)
    revision = migrate_schema(open_database(_config(data_dir).url))
    click.echo(f"the schema is at revision {revision}")


@server.command()
@data_option
def doctor(data_dir: Path) -> None:
    """Check what the server needs; exit 1 where something is missing."""
    from fleet_server.checkup import check_up
    from fleet_server.clock import SystemClock

    findings = check_up(_config(data_dir), SystemClock().now())
    for finding in findings:
        click.echo(f"{'ok     ' if finding.ok else 'MISSING'} {finding.what}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


def _config(data_dir: Path) -> ServerConfig:
    import os

    from fleet_server.config import load_config

    return load_config(data_dir.absolute(), os.environ)
