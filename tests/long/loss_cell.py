"""``python -m tests.long.loss_cell CELL_JSON``: one download across a bad wire, told as one line of JSON.

Runs in the namespace of the server, with a real broker and a real server; the agent runs in the other one and reaches
them through the wire alone, to enroll as well.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from contracts.ids import DeviceId, ReleaseId
from edge_agent.disk import SystemDisk
from edge_agent.state_folder import StateFolder
from edge_agent.update.journal import Journal
from edge_agent.update.states import State
from edgeship.demo.narration import wait_until
from edgeship.demo.processes import DemoDevice, Processes, Running, edgeship, write_agent_config
from edgeship.demo.releasing import ReleaseDesk
from fleet_server.client import FleetClient
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from signing.connection import ServerConnection
from signing.errors import ServerError
from signing.publish import publish
from tests.builders import TinyModel, a_tiny_onnx_artifact
from tests.long.rig import ENDED, GROUP, MODEL, PROFILE

HTTP_PORT, DEVICES_PORT, BROKER_PORT = 8400, 8401, 8883
DEVICE = DeviceId("pi-1")
_BYTES_A_UNIT = 48
"""What one hidden unit of the tiny model adds to its file."""
_SMALL_UNITS = 16
"""The first release is small: the agent that is measured has all its libraries loaded, and serves."""
_READY_S = 60.0
_TRIES = 20
"""How often the device asks to be enrolled: one that was not answered in time is free to ask again."""
_SETTLE_S = 3.0
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the grid: who the ends are, which broker, how much is to travel and how long that may take."""

    folder: str
    agent_namespace: str
    server_address: str
    broker: str
    length_bytes: int
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of it. Memory is resident, in bytes: the agent's while idle, at most while it downloads, and at most until the end,
    where it holds two models."""

    state: str
    rollout: str
    seconds: float
    artifact_bytes: int
    chunks: int
    distinct: int
    published_bytes: int
    repeated_verified: int
    agent_idle_bytes: int
    agent_peak_bytes: int
    agent_peak_to_the_end_bytes: int
    broker_idle_bytes: int
    broker_peak_bytes: int


def main(text: str) -> int:
    """Set everything up, roll out, watch, tell."""
    cell = Cell(**json.loads(text))
    folder = Path(cell.folder)
    with ExitStack() as undo:
        processes = undo.enter_context(Processes(folder=folder / "logs"))
        desk, connection = _set_up(cell, folder)
        broker = _start_broker(cell, folder, processes)
        processes.start("server", "server", "run", "--data", str(folder / "server"))
        assert wait_until(lambda: _is_well(connection), patience_s=_READY_S), processes.running["server"].last_line()
        agent = _start_agent(cell, folder, processes, FleetClient(connection), desk)
        told = _download(cell, folder, desk, connection, broker=broker, agent=agent)
    sys.stdout.write(json.dumps(asdict(told)) + "\n")
    return 0


def _set_up(cell: Cell, folder: Path) -> tuple[ReleaseDesk, ServerConnection]:
    data, token_file = folder / "server", folder / "operator.token"
    data.mkdir(parents=True)
    (data / "server.toml").write_text(
        f"""[http]
port = {HTTP_PORT}
[devices]
host = "{cell.server_address}"
port = {DEVICES_PORT}
[identity]
names = ["{cell.server_address}", "127.0.0.1"]
[broker]
kind = "external"
host = "{cell.server_address}"
port = {BROKER_PORT}
""",
        encoding="utf-8",
    )
    edgeship("server", "init", "--data", str(data), "--token-file", str(token_file))
    desk = ReleaseDesk.open(folder / "desk")
    root = desk.set_up(data / "online.pub.json")
    edgeship("server", "trust", "--data", str(data), str(root), str(desk.director_root))
    token = token_file.read_text(encoding="utf-8").strip()
    return desk, ServerConnection(url=f"http://127.0.0.1:{HTTP_PORT}", token=token)


def _start_broker(cell: Cell, folder: Path, processes: Processes) -> Running:
    data, place = folder / "server", folder / "broker"
    place.mkdir()
    config = place / "mosquitto.conf"
    address = ("--host", cell.server_address, "--port", str(BROKER_PORT))
    edgeship("server", "broker-config", "--data", str(data), "--out", str(config), *address)
    if cell.broker == "amqtt":
        words = ["-m", "fleet_server.broker.embedded", str(place), str(BROKER_PORT), str(data / "identity")]
        broker = processes.start_command("broker", [sys.executable, *words, cell.server_address], keep_input=True)
    else:
        config.write_text(config.read_text(encoding="utf-8") + "user root\n", encoding="utf-8")
        broker = processes.start_command("broker", ["mosquitto", "-c", str(config)])
    assert wait_until(lambda: _accepts(cell.server_address), patience_s=_READY_S), broker.last_line()
    return broker


def _accepts(address: str) -> bool:
    try:
        socket.create_connection((address, BROKER_PORT), timeout=1.0).close()
    except OSError:
        return False
    return True


def _start_agent(cell: Cell, folder: Path, processes: Processes, client: FleetClient, desk: ReleaseDesk) -> Running:
    client.create_group(GROUP)
    config = write_agent_config(
        folder / "device",
        DemoDevice(id=DEVICE, group=GROUP, profile=PROFILE),
        server_url=f"https://{cell.server_address}:{DEVICES_PORT}",
        trust_root=desk.repository.root_path,
        director_root=desk.director_root,
        sketch_window_s=3600.0,
    )
    across = ["ip", "netns", "exec", cell.agent_namespace, sys.executable, "-m", "edgeship", "agent"]
    token = client.create_enrollment_token(GROUP, uses=1, ttl_s=3600)
    words = [*across, "enroll", "--config", str(config), "--token", token]
    joined = any(processes.start_command("enroll", words).process.wait(_READY_S) == 0 for _ in range(_TRIES))
    assert joined, processes.running["enroll"].last_line()
    agent = processes.start_command("agent", [*across, "run", "--config", str(config)])
    heard = wait_until(lambda: client.device(DEVICE).last_seen_at is not None, patience_s=300.0, pause_s=0.5)
    assert heard, agent.last_line()
    return agent


def _download(
    cell: Cell, folder: Path, desk: ReleaseDesk, connection: ServerConnection, *, broker: Running, agent: Running
) -> Told:
    client = FleetClient(connection)
    small = _release(folder, desk, connection, units=_SMALL_UNITS, number=1)
    first = client.create_rollout(_spec(small, cell.patience_s)).id
    assert wait_until(lambda: client.rollout(first).state in ENDED, patience_s=cell.patience_s, pause_s=0.5)
    large = _release(folder, desk, connection, units=cell.length_bytes // _BYTES_A_UNIT, number=2)
    time.sleep(_SETTLE_S)
    agent_idle, broker_idle = _resident(agent), _resident(broker)
    agent_peak, agent_peak_to_the_end, broker_peak = agent_idle, agent_idle, broker_idle
    journal = Journal(StateFolder(folder / "device" / "state").journal, SystemDisk())
    started = time.monotonic()
    rollout = client.create_rollout(_spec(large, cell.patience_s)).id
    view = client.rollout(rollout)
    while view.state not in ENDED and time.monotonic() < started + cell.patience_s:
        time.sleep(_LOOK_S)
        view = client.rollout(rollout)
        if journal.read().state in (State.PLANNING, State.FETCHING):
            agent_peak = max(agent_peak, _resident(agent))
        agent_peak_to_the_end = max(agent_peak_to_the_end, _resident(agent))
        broker_peak = max(broker_peak, _resident(broker))
    seconds = time.monotonic() - started
    transfer = max(client.transfers(DEVICE), key=lambda one: one.chunks)
    return Told(
        state=view.devices[0].state,
        rollout=view.state,
        seconds=seconds,
        artifact_bytes=(folder / "2.artifact").stat().st_size,
        chunks=transfer.chunks,
        distinct=transfer.distinct,
        published_bytes=transfer.published_bytes,
        repeated_verified=transfer.repeated_verified,
        agent_idle_bytes=agent_idle,
        agent_peak_bytes=agent_peak,
        agent_peak_to_the_end_bytes=agent_peak_to_the_end,
        broker_idle_bytes=broker_idle,
        broker_peak_bytes=broker_peak,
    )


def _release(folder: Path, desk: ReleaseDesk, connection: ServerConnection, *, units: int, number: int) -> ReleaseId:
    """Publish a version of the tiny model with so many hidden units."""
    path, version = folder / f"{number}.artifact", f"{number}.0.0"
    path.write_bytes(a_tiny_onnx_artifact(TinyModel(hidden=units), model=MODEL, version=version, counter=number))
    now = datetime.now(UTC)
    desk.repository.draft(path)
    desk.repository.sign(desk.keys, passphrase=desk.passphrase, now=now)
    publish(desk.repository, connection, now=now)
    return ReleaseId(f"{MODEL}@{version}")


def _spec(release: ReleaseId, patience_s: float) -> RolloutSpec:
    gate = GateSpec(soak_s=0.5, min_rows=0)
    return RolloutSpec(release=release, group=GROUP, waves=("100%",), gate=gate, device_timeout_s=patience_s + 60.0)


def _is_well(connection: ServerConnection) -> bool:
    try:
        health = connection.get_json("/health")
    except ServerError:
        return False
    return isinstance(health, dict) and health.get("status") == "ok"


def _resident(running: Running) -> int:
    """Return the resident bytes of the process (``ip netns exec`` becomes what it starts)."""
    try:
        fields = Path(f"/proc/{running.process.pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
