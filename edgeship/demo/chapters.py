"""Steps 3 and 4: the server is set up, the release signed, and six devices join."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.artifact import read_artifact_file
from contracts.chunks import cut
from contracts.ids import ProfileName, ReleaseId
from edgeship.demo import training
from edgeship.demo.errors import ProcessDied, StepFailed
from edgeship.demo.living import DemoAgent, LivingFleet
from edgeship.demo.narration import Narrator, wait_until
from edgeship.demo.processes import DemoDevice, Processes, edgeship, wait_for_address, write_agent_config
from edgeship.demo.releasing import CHUNK_BYTES, ReleaseDesk
from signing.connection import ServerConnection

if TYPE_CHECKING:
    from fleet_server.client import FleetClient
    from optimizer.search.candidate import Candidate

SKETCH_WINDOW_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSetUp:
    """A server that was set up and not yet started."""

    data: Path
    token_file: Path
    password: str
    url: str
    devices_url: str
    broker: str
    trust_root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapters:
    """What steps 3 and 4 share."""

    speaker: Narrator
    folder: Path
    desk: ReleaseDesk
    processes: Processes
    digits: training.Digits

    def set_up_server(self, *, broker: str) -> ServerSetUp:
        """Make the server's folder, its first user, and the root that trusts its online key."""
        data, token_file = self.folder / "server", self.folder / "operator.token"
        said = edgeship("server", "init", "--data", str(data), "--token-file", str(token_file), "--json")
        root = self.desk.set_up(data / "online.pub.json")
        edgeship("server", "trust", "--data", str(data), str(root), str(self.desk.director_root))
        self.speaker.say("root and targets keys made on the release desk; the server was given the public root alone")
        return ServerSetUp(
            data=data,
            token_file=token_file,
            password=json.loads(said)["password"],
            url=f"http://127.0.0.1:{free_port()}",
            devices_url=f"https://127.0.0.1:{free_port()}",
            broker=broker,
            trust_root=root,
        )

    def pack(self, winner: Candidate, data: Path, *, version: str, counter: int, profile: ProfileName) -> float:
        """Pack the winner, show what is in the artifact, and return the accuracy that it claims."""
        from optimizer.data.dataset import Dataset

        path = self.desk.pack(winner, Dataset.load(data), version=version, counter=counter, profile=profile)
        manifest = read_artifact_file(path).manifest
        chunks = len(cut(path.read_bytes(), CHUNK_BYTES).digests)
        self.speaker.say(
            f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {chunks} chunks, {manifest.golden.rows} golden rows, "
            f"{len(manifest.sketch_plan.features)} watched features, made by {' -> '.join(manifest.lineage.passes)}"
        )
        self.speaker.claim(chunks >= 30, f"it travels in at least 30 chunks ({chunks})")
        accuracy = winner.accuracy
        if accuracy is None:
            raise StepFailed("the winner has no accuracy: the data lost their labels")
        return accuracy

    def sign_and_show(self, release: ReleaseId) -> None:
        """Sign every packed artifact as one release."""
        signed = self.desk.sign(*sorted((self.desk.folder / "artifacts").glob("*.artifact")))
        self.speaker.claim(
            [one.id for one in signed] == [release],
            f"{release} is signed: one targets key, {len(signed[0].artifacts)} artifacts, metadata by python-tuf",
        )

    def start_fleet(self, server: ServerSetUp, devices: Sequence[DemoDevice]) -> LivingFleet:
        """Start the server, enroll the devices with one-time tokens, start their agents, publish the release."""
        from fleet_server.client import FleetClient

        ports = ("--http-port", server.url.rpartition(":")[2], "--devices-port", server.devices_url.rpartition(":")[2])
        run = ("server", "run", "--data", str(server.data), *ports, "--broker", server.broker)
        self.processes.start("server", *run)
        connection = ServerConnection(url=server.url, token=server.token_file.read_text(encoding="utf-8").strip())
        client = FleetClient(connection)
        health = self._await_health(connection)
        self.speaker.say(f"server at {server.url}, database {health['database']}, broker {health['broker']}")
        self.speaker.say(broker_in_words(server.data))
        for group in dict.fromkeys(device.group for device in devices):
            client.create_group(group)
        agents = [self._start_agent(server, client, device) for device in devices]
        served = {agent.device.id: wait_for_address(agent.running, agent.state) for agent in agents}
        self._refuse_used_token(server, agents[0])
        fleet = LivingFleet(
            speaker=self.speaker,
            desk=self.desk,
            processes=self.processes,
            connection=connection,
            digits=self.digits,
            server_url=server.url,
            server_data=server.data,
            password=server.password,
            agents={agent.device.id: agent for agent in agents},
            addresses=served,
        )
        online = wait_until(lambda: fleet.online() == len(devices), patience_s=30)
        self.speaker.claim(
            online,
            f"{len(devices)} devices are enrolled and online, in 2 groups, each under its own key and certificate",
        )
        fleet.publish()
        return fleet

    def _await_health(self, connection: ServerConnection) -> Mapping[str, object]:
        """Return the server's account of its health, once it is well."""
        from signing.errors import ServerError

        answers: list[Mapping[str, object]] = []

        def well() -> bool:
            self.processes.check_alive()
            try:
                health = connection.get_json("/health")
            except ServerError:
                return False
            answers.append(health if isinstance(health, dict) else {})
            return answers[-1].get("status") == "ok"

        if not wait_until(well, patience_s=40):
            raise StepFailed(f"the server did not become ready: {self.processes.running['server'].last_line()}")
        return answers[-1]

    def _start_agent(self, server: ServerSetUp, client: FleetClient, device: DemoDevice) -> DemoAgent:
        folder = self.folder / "devices" / device.id
        config = write_agent_config(
            folder,
            device,
            server_url=server.devices_url,
            trust_root=server.trust_root,
            director_root=self.desk.director_root,
            sketch_window_s=SKETCH_WINDOW_S,
        )
        token = client.create_enrollment_token(device.group, uses=1, ttl_s=600)
        edgeship("agent", "enroll", "--config", str(config), "--token", token)
        running = self.processes.start(device.id, "agent", "run", "--config", str(config))
        return DemoAgent(device=device, config=config, state=folder / "state", running=running, token=token)

    def _refuse_used_token(self, server: ServerSetUp, agent: DemoAgent) -> None:
        """Show that a token works once: a stranger who has found one gets nothing."""
        stranger = DemoDevice(
            id=type(agent.device.id)("stranger"), group=agent.device.group, profile=agent.device.profile
        )
        config = write_agent_config(
            self.folder / "devices" / "stranger",
            stranger,
            server_url=server.devices_url,
            trust_root=server.trust_root,
            director_root=self.desk.director_root,
            sketch_window_s=SKETCH_WINDOW_S,
        )
        try:
            edgeship("agent", "enroll", "--config", str(config), "--token", agent.token)
        except ProcessDied as error:
            self.speaker.claim("token" in str(error), "a used enrollment token is refused")
            return
        raise StepFailed("a stranger enrolled with a token that was used before")


def broker_in_words(server_data: Path) -> str:
    """Return which broker the server started, as it wrote it down."""
    broker = json.loads((server_data / "server.json").read_text(encoding="utf-8"))["broker"]
    place = f"on {broker['host']}:{broker['port']}"
    if broker["kind"] == "amqtt":
        return f"[yellow]![/] broker: amqtt {place}, embedded: FOR TRYING OUT; mosquitto is used where it is installed"
    return f"broker: {broker['kind']} {place}"


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
