"""Wrong input to a running server: its own sentence on the operator's terminal, and nothing changed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.config import load_config
from edge_agent.disk import SystemDisk
from edge_agent.errors import EnrollmentRefused
from edge_agent.identity.credentials import KeptCredentials
from edge_agent.identity.renewal import renew
from edge_agent.state_folder import StateFolder
from tests.builders import a_tiny_onnx_artifact
from tests.fakes.intruder import Intruder
from tests.journeys.doors import Answer, Shell, agent_config, public_keys, taken_port

pytestmark = pytest.mark.slow

START_PATIENCE_S = 40.0
DOORS = (("http://", "http"), ("https://", "devices"))


@dataclass(frozen=True, kw_only=True)
class Desk:
    """An operator's and release engineer's folder beside a running server, with one release signed."""

    shell: Shell
    url: str
    devices_url: str

    @property
    def broker_port(self) -> int:
        """Where the server's broker listens."""
        return int(json.loads((self.shell.folder / "data" / "server.json").read_text())["broker"]["port"])

    def operate(self, *arguments: str | Path) -> Answer:
        """Run one of the commands that talk to the server."""
        return self.shell(*arguments, "--server", self.url, "--token-file", "token")

    def publish(self) -> Answer:
        """Publish what is signed."""
        return self.operate("release", "publish", "--repository", "repo")

    def new_token(self) -> str:
        """Return a token with which one device may join the group lab."""
        answer = self.operate("fleet", "device", "token", "create", "--group", "lab")
        assert answer.status == 0, answer.err
        return answer.out.strip()


def a_desk(folder: Path) -> tuple[Shell, subprocess.Popen[bytes]]:
    """Set a server and a repository up in the folder and start the server."""
    shell = Shell(folder=folder)
    shell.done("server", "init", "--data", "data", "--token-file", "token")
    shell.done("keys", "init", "keys")
    shell.done("release", "init", "--repository", "repo", "--keys", "keys", *public_keys("data"))
    (folder / "good.artifact").write_bytes(a_tiny_onnx_artifact())
    shell.done("release", "draft", "good.artifact", "--repository", "repo")
    shell.done("release", "sign", "--repository", "repo", "--keys", "keys", "--yes")
    command = [
        sys.executable,
        "-m",
        "edgeship",
        "server",
        "run",
        "--data",
        "data",
        "--http-port",
        "0",
        "--devices-port",
        "0",
    ]
    with (folder / "server.log").open("wb") as log:
        run = subprocess.Popen(
            [*command, "--broker", "amqtt"], cwd=folder, env=shell.environment, stdout=log, stderr=log
        )
    return shell, run


def running(folder: Path) -> Iterator[Desk]:
    """Yield the desk of a server that serves; end the server afterwards."""
    shell, server = a_desk(folder)
    try:
        ready = folder / "data" / "server.json"
        url, devices_url = (f"{scheme}{address(ready, server, door)}" for scheme, door in DOORS)
        yield Desk(shell=shell, url=url, devices_url=devices_url)
    finally:
        server.terminate()
        server.wait(30)


def address(ready: Path, server: subprocess.Popen[bytes], door: str) -> str:
    """Return where the server listens there, once it says so."""
    deadline = time.monotonic() + START_PATIENCE_S
    while not ready.exists():
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)
    return f"127.0.0.1:{json.loads(ready.read_text())[door]['port']}"


@pytest.fixture(scope="module")
def untrusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from running(tmp_path_factory.mktemp("untrusting"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    for made in running(tmp_path_factory.mktemp("trusting")):
        roots = ("repo/metadata/root.json", "repo/director/root.json")
        made.shell.done("server", "trust", "--data", "data", *roots)
        assert made.publish().status == 0
        assert made.operate("fleet", "group", "create", "lab").status == 0
        yield made


def test_a_server_that_trusts_no_root_takes_no_release(untrusting: Desk) -> None:
    refusal = untrusting.publish().refusal

    assert (
        "this server trusts no models root yet; run 'edgeship server trust --data DIR ROOT_JSON DIRECTOR_ROOT_JSON'"
        in refusal
    )
    assert json.loads(untrusting.operate("fleet", "release", "ls", "--json").out) == []


def test_a_wrong_api_token_is_refused(untrusting: Desk) -> None:
    (untrusting.shell.folder / "stale").write_text("t" * 43)

    answer = untrusting.shell("fleet", "status", "--server", untrusting.url, "--token-file", "stale")

    assert "the token is not valid" in answer.refusal


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("digits@9.9.9", "--to", "lab"), "there is no release 'digits@9.9.9'; publish it first"),
        (("digits", "--to", "lab"), "release id 'digits' is not valid: write it as MODEL@VERSION"),
        (("digits@1.0.0", "--to", "lbb"), "there is no group 'lbb'; 'edgeship fleet group ls' lists them"),
        (("digits@1.0.0", "--to", "lab", "--waves", "some"), "wave 'some' is neither a number of devices (as in '5')"),
        (("digits@1.0.0", "--to", "lab", "--waves", "0,100%"), "wave '0' is neither a number of devices (as in '5')"),
        (("digits@1.0.0", "--to", "lab", "--waves", "1,50%"), "the last wave is '50%'; it must be '100%'"),
        (("digits@1.0.0", "--to", "lab", "--max-fail", "5x"), "'5x' is no share; write it as 5% or 0.05"),
        (("digits@1.0.0", "--to", "lab"), "enroll devices of those profiles, or release the model for these"),
    ],
)
def test_a_rollout_that_cannot_be_is_refused(desk: Desk, arguments: tuple[str, ...], sentence: str) -> None:
    refusal = desk.operate("fleet", "rollout", "create", *arguments).refusal

    assert sentence in refusal
    assert json.loads(desk.operate("fleet", "rollout", "ls", "--json").out) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fleet", "rollout", "show", "rollout-9"), "no rollout 'rollout-9'; 'edgeship fleet rollout ls' lists them"),
        (("fleet", "rollout", "pause", "rollout-9"), "no rollout 'rollout-9'; 'edgeship fleet rollout ls' lists them"),
        (("fleet", "device", "show", "pi-9"), "no device 'pi-9'; 'edgeship fleet device ls' lists them"),
        (("drift", "show", "pi-9"), "no device 'pi-9'; 'edgeship fleet device ls' lists them"),
        (("fleet", "alert", "ack", "alert-9"), "no alert 'alert-9'; 'edgeship fleet alert ls --all' lists them"),
        (("fleet", "retrain", "show", "9"), "no retrain request '9'; 'edgeship fleet retrain ls' lists them"),
        (("fleet", "device", "ls", "statuss:offline"), "the filter has no key 'statuss'; use one of"),
        (("fleet", "device", "token", "create", "--group", "lbb"), "with 'edgeship fleet group create NAME'"),
        (("fleet", "group", "create", "A Lab"), "group name 'A Lab' is not valid: use lower-case letters"),
    ],
)
def test_what_the_server_does_not_know_is_refused(desk: Desk, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in desk.operate(*arguments).refusal


def test_an_unknown_enrollment_token_is_refused(desk: Desk, tmp_path: Path) -> None:
    config = agent_config(tmp_path / "agent", desk.devices_url)

    fingerprint = desk.new_token().partition(".")[2]

    refusal = desk.shell("agent", "enroll", "--config", config, "--token", f"guessing.{fingerprint}").refusal

    assert "the enrollment token is not valid or has expired; ask the operator for a new one" in refusal
    assert not (config.parent / "state" / "enrollment.json").exists()


def test_a_used_enrollment_token_is_refused(desk: Desk, tmp_path: Path) -> None:
    token = desk.new_token()
    first = agent_config(tmp_path / "first", desk.devices_url, device="used-1")
    second = agent_config(tmp_path / "second", desk.devices_url, device="used-2")
    desk.shell.done("agent", "enroll", "--config", first, "--token", token)

    refusal = desk.shell("agent", "enroll", "--config", second, "--token", token).refusal

    assert "the enrollment token is used up; ask the operator for a new one" in refusal
    assert not (second.parent / "state" / "enrollment.json").exists()


def test_an_agent_without_its_root_or_its_port_says_so(desk: Desk, tmp_path: Path) -> None:
    bad_root = agent_config(tmp_path / "rootless", desk.devices_url, device="rootless", more="[serving]\nport = 0\n")
    desk.shell.done("agent", "enroll", "--config", bad_root, "--token", desk.new_token())
    with taken_port() as port:
        no_port = agent_config(
            tmp_path / "portless", desk.devices_url, device="portless", more=f"[serving]\nport = {port}\n"
        )
        repository = desk.shell.folder / "repo"
        (no_port.parent / "root.json").write_bytes((repository / "metadata/root.json").read_bytes())
        (no_port.parent / "director-root.json").write_bytes((repository / "director/root.json").read_bytes())
        desk.shell.done("agent", "enroll", "--config", no_port, "--token", desk.new_token())
        port_refusal = desk.shell("agent", "run", "--config", no_port).refusal

    root_refusal = desk.shell("agent", "run", "--config", bad_root).refusal

    assert f"can't listen on 127.0.0.1 port {port}" in port_refusal
    assert "set serving.port to a free one, or 0 for any" in port_refusal
    assert "root.json" in root_refusal


def test_a_revoked_device_loses_its_session_and_every_door(desk: Desk, tmp_path: Path) -> None:
    config = agent_config(tmp_path / "lost", desk.devices_url, device="lost-1")
    desk.shell.done("agent", "enroll", "--config", config, "--token", desk.new_token())
    tls, port = KeptCredentials(StateFolder(config.parent / "state")).tls(), desk.broker_port

    with Intruder(port, tls, client_id="default/d/lost-1") as session:
        said = desk.operate("fleet", "device", "revoke", "lost-1")
        ended = session.wait_ended()
    with Intruder(port, tls, client_id="default/d/lost-1") as again:
        let_in = again.connected

    assert (said.status, ended, let_in) == (0, True, False)
    assert json.loads(desk.operate("fleet", "device", "show", "lost-1", "--json").out)["status"] == "revoked"
    with pytest.raises(EnrollmentRefused, match="device 'lost-1' is revoked"):
        renew(load_config(config), disk=SystemDisk())
    assert "was revoked already" in desk.operate("fleet", "device", "revoke", "lost-1").refusal
