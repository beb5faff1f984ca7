"""The ``agent`` commands as a person at the device uses them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.ids import ReleaseId
from edge_agent.cli import agent
from edge_agent.errors import AgentError, ArtifactMismatch, ConfigError, NotEnrolled, NothingToRevert, ServerUnreachable
from edge_agent.supervisor import hold_state
from edge_agent.trust.errors import BelowFloor, MemoryDamaged
from edge_agent.trust.memory import COPIES
from tests.fakes.device import MODEL, FakeDevice, an_artifact
from tests.fakes.repository import SignedRepository


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    repository = SignedRepository()
    repository.publish(an_artifact(version="1", counter=1))
    repository.publish(an_artifact(version="2", counter=2))
    device = FakeDevice(tmp_path / "state", repository)
    device.offer("digits@1")
    device.offer("digits@2")
    (tmp_path / "agent.toml").write_text(
        'device = "pi-1"\nprofile = "raspberry-pi-4"\nstate_dir = "state"\ntrust_root = "state/root.json"\n'
        'director_root = "state/director-root.json"\n'
        '[server]\nurl = "https://127.0.0.1:1"\n'
    )
    return device


@pytest.fixture
def running(device: FakeDevice) -> Iterator[None]:
    with hold_state(device.state):
        yield


def _agent(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(agent, [*arguments, "--config", str(tmp_path / "agent.toml")])


def test_status_shows_what_serves_and_what_lies_beside_it(tmp_path: Path, device: FakeDevice) -> None:
    result = _agent(tmp_path, "status")

    assert result.exit_code == 0
    assert "model digits       digits@2, previous digits@1" in result.output
    assert "trusted roots      models version 1, director version 1" in result.output
    assert "not enrolled" in result.output
    assert "not running" in result.output


def test_status_before_enrolling_names_the_next_command(tmp_path: Path, device: FakeDevice) -> None:
    result = _agent(tmp_path, "status")

    assert f"not enrolled; next: edgeship agent enroll --config {tmp_path / 'agent.toml'} --token" in result.output


def test_the_configuration_of_this_folder_is_taken_where_none_is_named(
    tmp_path: Path, device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    found = CliRunner().invoke(agent, ["status"])
    (tmp_path / "agent.toml").unlink()
    missing = CliRunner().invoke(agent, ["status"])

    assert found.exit_code == 0, found.output
    assert missing.exit_code == 2
    assert "no agent.toml in this folder" in missing.output


def test_status_for_programs_is_json(tmp_path: Path, device: FakeDevice) -> None:
    seen = json.loads(_agent(tmp_path, "status", "--json").output)

    assert seen["models"] == [{"model": "digits", "good": "digits@2", "previous": "digits@1"}]
    assert (seen["update"], seen["generation"]) == ("idle", 2)


def test_verify_says_that_all_is_whole(tmp_path: Path, device: FakeDevice) -> None:
    result = _agent(tmp_path, "verify")

    assert result.exit_code == 0
    assert "trusted roots: models version 1, director version 1" in result.output
    assert "director: version 3" in result.output
    assert "last trusted time: 2026-11-20T12:00:00+00:00" in result.output
    assert result.output.count("is whole") == 2


def test_verify_finds_a_flipped_byte(tmp_path: Path, device: FakeDevice) -> None:
    path = device.slots.path(MODEL, device.slots.pointer(MODEL).spare)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    result = _agent(tmp_path, "verify")

    assert result.exit_code == 1
    assert isinstance(result.exception, ArtifactMismatch)
    assert "1 of 2 slots are damaged" in str(result.exception)


def test_revert_goes_back_when_no_agent_runs(tmp_path: Path, device: FakeDevice) -> None:
    result = _agent(tmp_path, "revert")

    assert result.output == "digits: digits@1 serves from the next start on\n"
    device.restart()
    assert device.running == "digits@1"


def _raise_the_floor(device: FakeDevice, floor: int) -> None:
    device.courier.repository.raise_floor("digits", floor)
    device.offer("digits@9")


def test_revert_never_goes_below_the_floor(tmp_path: Path, device: FakeDevice) -> None:
    _raise_the_floor(device, 2)

    result = _agent(tmp_path, "revert")

    assert isinstance(result.exception, BelowFloor)
    device.restart()
    assert device.running == "digits@2"


@pytest.mark.usefixtures("running")
def test_revert_below_the_floor_is_refused_beside_a_running_agent_too(tmp_path: Path, device: FakeDevice) -> None:
    _raise_the_floor(device, 2)

    result = _agent(tmp_path, "revert")

    assert isinstance(result.exception, BelowFloor)
    assert not (device.state / "revert-requested").exists()


def test_verify_shows_the_floors(tmp_path: Path, device: FakeDevice) -> None:
    _raise_the_floor(device, 2)

    result = _agent(tmp_path, "verify")

    assert "floor of digits: release counter 2" in result.output


def test_a_damaged_memory_is_shown_and_stops_a_revert(tmp_path: Path, device: FakeDevice) -> None:
    for copy in COPIES:
        (device.state / "metadata" / copy).write_bytes(b"rot")

    shown, verified, reverted = _agent(tmp_path, "status"), _agent(tmp_path, "verify"), _agent(tmp_path, "revert")

    assert shown.exit_code == 0
    assert "nothing is installed and what runs goes on" in shown.output
    assert isinstance(verified.exception, MemoryDamaged)
    assert isinstance(reverted.exception, MemoryDamaged)


@pytest.mark.usefixtures("running")
def test_revert_asks_a_running_agent(tmp_path: Path, device: FakeDevice) -> None:
    result = _agent(tmp_path, "revert")

    assert "asked the running agent" in result.output
    assert (device.state / "revert-requested").exists()


def test_revert_without_a_previous_release_says_so(tmp_path: Path, device: FakeDevice) -> None:
    pointer = device.slots.pointer(MODEL)
    device.slots.path(MODEL, pointer.spare).unlink()

    result = _agent(tmp_path, "revert")

    assert isinstance(result.exception, ArtifactMismatch | NothingToRevert)


@pytest.mark.usefixtures("running")
def test_revert_with_nothing_to_go_back_to_is_refused_beside_a_running_agent_too(
    tmp_path: Path, device: FakeDevice
) -> None:
    device.slots.take_back(MODEL, ReleaseId("digits@2"))

    result = _agent(tmp_path, "revert")

    assert result.exit_code == 1
    assert isinstance(result.exception, NothingToRevert)
    assert not (device.state / "revert-requested").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("run",), NotEnrolled),
        (("enroll", "--token", f"12345678.{'0' * 64}"), ServerUnreachable),
    ],
)
def test_a_command_that_cannot_work_raises_one_line(
    arguments: tuple[str, ...], error: type[AgentError], tmp_path: Path, device: FakeDevice
) -> None:
    result = _agent(tmp_path, *arguments)

    assert result.exit_code == 1
    assert isinstance(result.exception, error)
    assert "\n" not in str(result.exception)
    assert "secret" not in str(result.exception)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    assert isinstance(_agent(tmp_path, "status").exception, ConfigError)


def test_a_command_without_its_config_is_wrong_usage() -> None:
    assert CliRunner().invoke(agent, ["status"]).exit_code == 2


@pytest.mark.slow
def test_importing_the_commands_loads_nothing_heavy() -> None:
    script = "import sys, edge_agent.cli; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "tuf", "cryptography", "paho", "torch", "onnx", "onnxruntime", "cbor2"}.intersection(loaded)
