"""The release engineer's and the operator's commands against the real server, over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from click.testing import CliRunner, Result

from contracts.ids import DEFAULT_TENANT, DeviceId, ModelName, ProfileName, ReleaseId, RolloutId, parse_group_name
from contracts.sketch import plan_digest
from fleet_server.cli_fleet import drift, fleet
from fleet_server.client import FleetClient, RolloutAction
from fleet_server.database.session import transaction
from fleet_server.drift.store import record_sketch
from fleet_server.rollouts.spec import RolloutSpec
from fleet_server.rollouts.states import RolloutState
from signing.ceremony.changes import delegate, revoke_release
from signing.connection import ServerConnection
from signing.errors import ServerRefused
from signing.keys import init_keys
from signing.publish import publish
from tests.fakes.clock import START
from tests.fleet_server.server import Desk, SmallServer
from tests.fleet_server.views import a_sketch
from tests.signing.repositories import PASSPHRASE, a_workshop, an_artifact

pytestmark = pytest.mark.slow

RELEASE = ReleaseId("digits@1.0.0")
LAB = parse_group_name("lab")


@contextmanager
def served(server: SmallServer) -> Iterator[str]:
    """Serve the application on a free loopback port until the block ends; give its address."""
    runner = uvicorn.Server(uvicorn.Config(server.app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=runner.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            runner.should_exit = True
            thread.join()


@pytest.fixture
def address(small_server: SmallServer) -> Iterator[str]:
    with served(small_server) as url:
        yield url


@pytest.fixture
def client(address: str, small_server: SmallServer) -> FleetClient:
    return FleetClient.at(address, small_server.secrets.token)


@pytest.fixture
def published(address: str, small_server: SmallServer, tmp_path: Path) -> Desk:
    desk = small_server.desk(tmp_path / "desk")
    desk.release(an_artifact(), an_artifact(profile="coral-dev-board"))
    publish(desk.repository, connection(address, small_server), now=START)
    return desk


def connection(address: str, server: SmallServer) -> ServerConnection:
    return ServerConnection(url=address, token=server.secrets.token)


def test_what_is_signed_and_published_is_a_release(published: Desk, client: FleetClient) -> None:
    releases = client.releases()

    assert [(one.id, one.counter) for one in releases] == [(RELEASE, 1)]
    assert sorted(artifact.profile for artifact in releases[0].artifacts) == ["coral-dev-board", "raspberry-pi-4"]


def test_publishing_again_sends_no_bytes(
    published: Desk, address: str, small_server: SmallServer, client: FleetClient
) -> None:
    again = publish(published.repository, connection(address, small_server), now=START)

    assert (again.releases, again.bytes_sent) == ((), 0)


def test_chunks_of_another_size_are_taken(
    published: Desk, address: str, small_server: SmallServer, tmp_path: Path
) -> None:
    path = tmp_path / "small-chunks.artifact"
    path.write_bytes(an_artifact(version="1.1.0", counter=2, content=bytes(range(256)) * 40))
    published.repository.draft(path, chunk_bytes=512)
    published.repository.sign(published.keys, passphrase=PASSPHRASE, now=START)

    sent = publish(published.repository, connection(address, small_server), now=START)

    assert sent.releases == ("digits@1.1.0",)


def test_a_repository_of_other_keys_is_refused_with_the_servers_sentence(
    published: Desk, address: str, small_server: SmallServer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    workshop = a_workshop(tmp_path / "other")
    workshop.draft(tmp_path / "other", an_artifact(version="6.6.6", counter=66))
    workshop.repository.sign(workshop.keys, passphrase=PASSPHRASE, now=START)

    with pytest.raises(ServerRefused, match="not signed") as caught:
        publish(workshop.repository, connection(address, small_server), now=START)

    assert caught.value.status == 422


def test_a_server_that_trusts_no_root_yet_says_what_to_do(
    address: str, small_server: SmallServer, tmp_path: Path
) -> None:
    workshop = a_workshop(tmp_path)
    workshop.draft(tmp_path, an_artifact())
    workshop.repository.sign(workshop.keys, passphrase=PASSPHRASE, now=START)

    with pytest.raises(ServerRefused, match="edgeship server trust"):
        publish(workshop.repository, connection(address, small_server), now=START)


def test_devices_join_and_are_seen(published: Desk, small_server: SmallServer, client: FleetClient) -> None:
    client.create_group(LAB)
    token = client.create_enrollment_token(LAB, uses=2, ttl_s=60)
    small_server.enroll("pi-1")

    overview = client.overview()

    assert token
    assert [(group.name, group.devices) for group in client.groups()] == [("lab", 1)]
    assert client.device(DeviceId("pi-1")).group == "lab"
    assert client.transfers(DeviceId("pi-1")) == ()
    assert (overview.devices, overview.online) == (1, 0)


def test_a_rollout_is_created_steered_and_listed(
    published: Desk, small_server: SmallServer, client: FleetClient
) -> None:
    small_server.enroll("pi-1")
    small_server.enroll("pi-2")

    created = client.create_rollout(RolloutSpec(release=RELEASE, group=LAB))
    paused = client.steer(created.id, RolloutAction.PAUSE)
    resumed = client.steer(created.id, RolloutAction.RESUME)
    aborted = client.steer(created.id, RolloutAction.ABORT)

    assert [wave.size for wave in created.waves] == [1, 1]
    assert [one.state for one in (created, paused, resumed, aborted)] == [
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.RUNNING,
        RolloutState.ABORTED,
    ]
    assert client.rollout(created.id).state is RolloutState.ABORTED
    assert [one.id for one in client.rollouts()] == [created.id]


def test_what_is_not_there_is_said_in_one_sentence(client: FleetClient) -> None:
    with pytest.raises(ServerRefused, match="no-such-rollout") as caught:
        client.rollout(RolloutId("no-such-rollout"))

    assert caught.value.status == 404


def test_alerts_and_requests_are_empty_where_nothing_moved(client: FleetClient) -> None:
    assert client.alerts() == ()
    assert client.retrain_requests() == ()


class Operator:
    """Types commands with the server's address and the first user's token."""

    def __init__(self, address: str, server: SmallServer, home: Path) -> None:
        (home / "token").write_text(server.secrets.token)
        self._environment = {"EDGESHIP_SERVER": address, "EDGESHIP_TOKEN_FILE": str(home / "token"), "HOME": str(home)}

    def fleet(self, *words: str) -> Result:
        return CliRunner(env=self._environment).invoke(fleet, words)

    def drift(self, *words: str) -> Result:
        return CliRunner(env=self._environment).invoke(drift, words)


@pytest.fixture
def operator(address: str, small_server: SmallServer, tmp_path: Path) -> Operator:
    return Operator(address, small_server, tmp_path)


def test_the_commands_work_as_typed(published: Desk, small_server: SmallServer, operator: Operator) -> None:
    small_server.enroll("pi-1")

    signed_in = operator.fleet("login")
    created = operator.fleet(
        "rollout", "create", RELEASE, "--to", "lab", "--waves", "100%", "--min-rows", "0", "--json"
    )
    rollout = json.loads(created.output)["id"]
    aborted = operator.fleet("rollout", "abort", rollout)
    watched = operator.fleet("rollout", "watch", rollout)

    assert (signed_in.exit_code, created.exit_code, aborted.exit_code) == (0, 0, 0), created.output
    assert watched.exit_code == 2
    assert "✕ aborted" in watched.output


def test_drift_show_reads_the_plan_from_the_signed_artifact(
    published: Desk, small_server: SmallServer, client: FleetClient, operator: Operator
) -> None:
    device = small_server.enroll("pi-1")
    plan = client.sketch_plan(RELEASE, ProfileName("raspberry-pi-4"))
    with transaction(small_server.engine) as session:
        record_sketch(session, DEFAULT_TENANT, device.id, replace(a_sketch(plan), features={}), START)

    shown = operator.drift("show", "pi-1", "--json")

    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["window"]["plan"] == plan_digest(plan)
    assert json.loads(shown.output)["window"]["rows"] == 300


def test_a_published_model_with_a_floor_goes_to_a_team(
    published: Desk, address: str, small_server: SmallServer, client: FleetClient, tmp_path: Path
) -> None:
    published.release(an_artifact(version="2.0.0", counter=2))
    revoke_release(published.repository, RELEASE, and_older=True, now=START)
    published.repository.sign(published.keys, passphrase=PASSPHRASE, now=START)
    publish(published.repository, connection(address, small_server), now=START)
    team = init_keys(tmp_path / "team", PASSPHRASE, roles=("vision",))["vision"]

    delegate(published.repository, "vision", models=[ModelName("digits")], keys=[team], threshold=1, now=START)
    published.repository.sign(published.keys, passphrase=PASSPHRASE, now=START)
    with pytest.raises(ServerRefused, match="lowers the floor of digits from 2"):
        publish(published.repository, connection(address, small_server), now=START)
    published.repository.sign(tmp_path / "team", passphrase=PASSPHRASE, now=START)
    publish(published.repository, connection(address, small_server), now=START)

    assert {one.id: one.barred.partition(" at ")[0] for one in client.releases()} == {
        "digits@1.0.0": "it was revoked",
        "digits@2.0.0": "",
    }


def test_a_published_model_that_goes_to_a_team_waits_for_it_and_comes_back(
    published: Desk, address: str, small_server: SmallServer, client: FleetClient, tmp_path: Path
) -> None:
    team = init_keys(tmp_path / "team", PASSPHRASE, roles=("vision",))["vision"]
    delegate(published.repository, "vision", models=[ModelName("digits")], keys=[team], threshold=1, now=START)
    published.repository.sign(published.keys, passphrase=PASSPHRASE, now=START)

    before = publish(published.repository, connection(address, small_server), now=START)
    meanwhile = client.releases()[0].barred
    published.repository.sign(tmp_path / "team", passphrase=PASSPHRASE, now=START)
    after = publish(published.repository, connection(address, small_server), now=START)

    assert (before.waiting_for_team, before.taken_back) == (((RELEASE, "vision"),), ())
    assert meanwhile == "its team has to sign its metadata anew"
    assert after.waiting_for_team == ()
    assert client.releases()[0].barred == ""
