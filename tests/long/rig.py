"""One real server with its mosquitto and real agents, that a long test may kill piece by piece."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from contracts.ids import DeviceId, GroupName, ProfileName, ReleaseId, RolloutId
from edgeship.demo.chapters import free_port
from edgeship.demo.narration import wait_until
from edgeship.demo.processes import (
    DemoDevice,
    Processes,
    Running,
    edgeship,
    wait_for_address,
    write_agent_config,
)
from edgeship.demo.releasing import CHUNK_BYTES, ReleaseDesk
from fleet_server.client import FleetClient
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutState
from signing.connection import ServerConnection
from signing.errors import ServerError
from signing.publish import publish
from tests.builders import TinyModel, a_tiny_onnx_artifact

GROUP = GroupName("lab")
PROFILE = ProfileName("raspberry-pi-4")
MODEL = "digits"
SERVER = "server"
READY_S = 60.0
ENDED = (RolloutState.COMPLETED, RolloutState.ROLLED_BACK, RolloutState.ABORTED, RolloutState.HALTED)
DEVICE_TIMEOUT_S = 300.0


@dataclass(slots=True, kw_only=True)
class RigAgent:
    """One agent: its files and the process that runs now."""

    device: DemoDevice
    config: Path
    state: Path
    running: Running
    address: tuple[str, int]


@dataclass(slots=True, kw_only=True)
class Rig:
    """The whole fleet in one folder; ``rig`` makes it and ends it."""

    folder: Path
    processes: Processes
    desk: ReleaseDesk
    port: int
    devices_port: int
    client: FleetClient
    connection: ServerConnection
    trust_root: Path
    agents: list[RigAgent] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """The server's folder."""
        return self.folder / "server"

    @property
    def broker_pid(self) -> int:
        """The process id of the broker that the server started."""
        return int((self.data / "broker" / "pid").read_text(encoding="ascii"))

    def start_server(self) -> None:
        """Start the server on its port and wait until it is well."""
        arguments = ("run", "--data", str(self.data), "--broker", "mosquitto")
        ports = ("--http-port", str(self.port), "--devices-port", str(self.devices_port))
        running = self.processes.start(SERVER, "server", *arguments, *ports)
        assert wait_until(self._is_well, patience_s=READY_S), f"the server is not well: {running.last_line()}"

    def start_agent(self, agent: RigAgent) -> None:
        """Start the agent's process again."""
        agent.running = self.processes.start(agent.device.id, "agent", "run", "--config", str(agent.config))
        agent.address = wait_for_address(agent.running, agent.state)

    def add_agent(self, name: str, *, sketch_window_s: float) -> RigAgent:
        """Enroll a device and start its agent."""
        device = DemoDevice(id=DeviceId(name), group=GROUP, profile=PROFILE)
        folder = self.folder / "devices" / name
        config = write_agent_config(
            folder,
            device,
            server_url=f"https://127.0.0.1:{self.devices_port}",
            trust_root=self.trust_root,
            director_root=self.desk.director_root,
            sketch_window_s=sketch_window_s,
        )
        token = self.client.create_enrollment_token(GROUP, uses=1, ttl_s=600)
        edgeship("agent", "enroll", "--config", str(config), "--token", token)
        running = self.processes.start(name, "agent", "run", "--config", str(config))
        state = folder / "state"
        address = wait_for_address(running, state)
        self.agents.append(RigAgent(device=device, config=config, state=state, running=running, address=address))
        return self.agents[-1]

    def release(
        self, models: Sequence[TinyModel], *, first: int = 1, chunk_bytes: int = CHUNK_BYTES
    ) -> list[ReleaseId]:
        """Sign and publish one release for each model, versions from ``first`` on; return their ids."""
        repository, now = self.desk.repository, datetime.now(UTC)
        paths = {version: self.folder / f"{version}.artifact" for version in range(first, first + len(models))}
        for (version, path), tiny in zip(paths.items(), models, strict=True):
            path.write_bytes(a_tiny_onnx_artifact(tiny, model=MODEL, version=f"{version}.0.0", counter=version))
            repository.draft(path, chunk_bytes=chunk_bytes)
        repository.sign(self.desk.keys, passphrase=self.desk.passphrase, now=now)
        publish(repository, self.connection, now=now)
        return [ReleaseId(f"{MODEL}@{version}.0.0") for version in paths]

    def roll_out(self, release: ReleaseId, *, max_bytes_s: int = 0) -> RolloutId:
        """Offer the release to every device at once, with a gate that asks for no traffic."""
        spec = RolloutSpec(
            release=release,
            group=GROUP,
            waves=("100%",),
            gate=GateSpec(soak_s=0.5, min_rows=0),
            max_bytes_s=max_bytes_s,
            device_timeout_s=DEVICE_TIMEOUT_S,
        )
        return self.client.create_rollout(spec).id

    def follow(self, rollout: RolloutId, *, patience_s: float) -> RolloutView:
        """Return the rollout once it has ended, or as it is when the patience is over."""
        wait_until(lambda: self._has_ended(rollout), patience_s=patience_s, pause_s=0.3)
        return self.client.rollout(rollout)

    def kill_server(self) -> None:
        """End the server with SIGKILL; its broker is left running, as after a crash."""
        self.processes.running[SERVER].kill()

    def kill_broker(self) -> None:
        """End the broker with SIGKILL; the server is to start it again."""
        os.kill(self.broker_pid, signal.SIGKILL)

    def served_release(self, agent: RigAgent) -> ReleaseId:
        """Return what the agent itself says it serves, over its inference endpoint."""
        connection = http.client.HTTPConnection(*agent.address, timeout=20)
        connection.request("GET", f"/v2/models/{MODEL}")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return ReleaseId(f"{answer['name']}@{answer['versions'][0]}")

    def _is_well(self) -> bool:
        self.processes.running[SERVER].check_alive()
        try:
            health = self.connection.get_json("/health")
        except ServerError:
            return False
        return isinstance(health, dict) and health.get("status") == "ok"

    def _has_ended(self, rollout: RolloutId) -> bool:
        try:
            return self.client.rollout(rollout).state in ENDED
        except ServerError:
            return False


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Give a set-up server that is running, with no device and no release, and end all of it afterwards."""
    data, token_file = folder / "server", folder / "operator.token"
    edgeship("server", "init", "--data", str(data), "--token-file", str(token_file))
    desk = ReleaseDesk.open(folder / "desk")
    root = desk.set_up(data / "online.pub.json")
    edgeship("server", "trust", "--data", str(data), str(root), str(desk.director_root))
    port = free_port()
    connection = ServerConnection(url=f"http://127.0.0.1:{port}", token=token_file.read_text(encoding="utf-8").strip())
    with Processes(folder=folder / "logs") as processes:
        made = Rig(
            folder=folder,
            processes=processes,
            desk=desk,
            port=port,
            devices_port=free_port(),
            client=FleetClient(connection),
            connection=connection,
            trust_root=root,
        )
        made.start_server()
        made.client.create_group(GROUP)
        yield made
