"""The configuration for a broker that others run: a real mosquitto starts with it and keeps to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleet_server.broker.child import start_child
from fleet_server.broker.mosquitto import find_mosquitto
from fleet_server.cli_server import server
from fleet_server.identity.authority import load_authority
from fleet_server.identity.folder import IdentityFolder
from tests.fakes.identities import Registry
from tests.fakes.intruder import Intruder
from tests.fleet_server.server import SmallServer


def _write(small_server: SmallServer, *arguments: str) -> Result:
    result = CliRunner().invoke(server, ["broker-config", "--data", str(small_server.config.data_dir), *arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def running(small_server: SmallServer, tmp_path: Path) -> Iterator[int]:
    """A mosquitto started with the written file and nothing else, as a service manager would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path = tmp_path / "edgeship.conf"
    _write(small_server, "--out", str(path), "--host", "127.0.0.1", "--port", str(port))
    started = tmp_path / "mosquitto.conf"
    started.write_text(f"user root\ninclude_dir {tmp_path / 'conf.d'}\n")
    (tmp_path / "conf.d").mkdir()
    path.rename(tmp_path / "conf.d" / "edgeship.conf")
    program = find_mosquitto()
    assert program, "mosquitto is not installed; 'make test' says how to get it"
    broker = start_child([program, "-c", str(started)], folder=tmp_path, port=port, banner="")
    yield port
    broker.stop()


@pytest.mark.slow
@pytest.mark.system
def test_mosquitto_starts_with_it_and_lets_in_devices_of_this_server_alone(
    small_server: SmallServer, running: int, tmp_path: Path
) -> None:
    folder = IdentityFolder.of(small_server.config.data_dir)
    ours = Registry(folder=folder, authority=load_authority(folder)).papers("pi-1")
    foreign = Registry.make(tmp_path / "foreign").papers("pi-1")
    foreign.authority = ours.authority

    with (
        Intruder(running, ours.tls(), client_id="default/d/pi-1") as member,
        Intruder(running, foreign.tls(), client_id="default/d/pi-1") as stranger,
        Intruder(running, None, client_id="default/d/pi-1") as plain,
    ):
        assert (member.connected, stranger.connected, plain.connected) == (True, False, False)


def test_without_a_file_it_is_printed_rules_included_and_changes_nothing(small_server: SmallServer) -> None:
    said = _write(small_server, "--certificates", "/etc/mosquitto/certs").output

    assert "cafile /etc/mosquitto/certs/ca.pem" in said
    assert "# pattern read es/%u/offer" in said
    assert "ca.key.pem" in said  # named once, as what must not be copied


@pytest.mark.parametrize(
    "line",
    [
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        "max_packet_size 140000",
        "max_queued_bytes 4194304",
        "max_inflight_messages 16",
        "persistent_client_expiration 7d",
        "memory_limit 2147483648",
        "max_connections 65472",
    ],
)
def test_it_holds_every_limit(small_server: SmallServer, line: str) -> None:
    assert line in _write(small_server).output.splitlines()


def test_it_says_how_many_files_mosquitto_needs_and_how_to_bound_one_address(small_server: SmallServer) -> None:
    said = _write(small_server, "--port", "8883").output

    assert "LimitNOFILE=65536" in said
    assert "tcp dport 8883 meter edgeship { ip saddr ct count over 200 } reject" in said


def test_the_rules_have_no_wildcard_for_devices(small_server: SmallServer, tmp_path: Path) -> None:
    _write(small_server, "--out", str(tmp_path / "edgeship.conf"))

    rules = (tmp_path / "edgeship.acl").read_text().splitlines()

    patterns = [line for line in rules if line.startswith("pattern")]
    assert len(patterns) == 7
    assert [line for line in patterns if "#" in line or "+" in line] == []


def test_a_folder_that_cannot_be_written_is_named(small_server: SmallServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["broker-config", "--data", str(small_server.config.data_dir), "--out", str(tmp_path / "file" / "x")]

    result = CliRunner().invoke(server, arguments)

    assert "cannot write" in str(result.exception)
