"""Steps 5 to 8 on the living fleet: roll out, serve, watch, and be attacked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.ids import DeviceId, GroupName, ProfileName, ReleaseId, RolloutId
from contracts.update import UpdateState
from edgeship.demo import training
from edgeship.demo.fleet import Watch, in_wave, untouched
from edgeship.demo.narration import Narrator, wait_until
from edgeship.demo.optimizing import MODEL, percent
from edgeship.demo.processes import DemoDevice, Processes, Running, wait_for_address
from edgeship.demo.releasing import ReleaseDesk
from edgeship.demo.traffic import Address, Traffic, served_accuracy, shifted
from signing.connection import ServerConnection

if TYPE_CHECKING:
    from fleet_server.client import FleetClient
    from fleet_server.readmodel import AlertView, DeviceView, RolloutView, TransferView
    from fleet_server.rollouts.spec import GateSpec

DOWNLOAD_S = 4.0
"""How long the throttled download of one artifact takes, at least."""
KILL_BETWEEN = (0.25, 0.75)
SOAK_S = 6.0


@dataclass(slots=True, kw_only=True)
class DemoAgent:
    """One device's agent: its configuration, its state on disk and its process."""

    device: DemoDevice
    config: Path
    state: Path
    running: Running
    token: str


@dataclass(slots=True, kw_only=True)
class LivingFleet:
    """The server, its client, and six agents that run."""

    speaker: Narrator
    desk: ReleaseDesk
    processes: Processes
    connection: ServerConnection
    digits: training.Digits
    server_url: str
    server_data: Path
    password: str
    agents: dict[DeviceId, DemoAgent]
    addresses: dict[DeviceId, Address]

    @property
    def client(self) -> FleetClient:
        """The operator's API client."""
        from fleet_server.client import FleetClient

        return FleetClient(self.connection)

    def online(self) -> int:
        """Return how many devices the server hears."""
        self.processes.check_alive()
        return sum(device.status == "online" for device in self.client.devices())

    def device(self, device: DeviceId) -> DeviceView:
        """Return the server's view of one device."""
        return self.client.device(device)

    def publish(self) -> None:
        """Bring what the desk has signed to the server."""
        from datetime import UTC, datetime

        from signing.publish import publish

        published = publish(self.desk.repository, self.connection, now=datetime.now(UTC))
        releases = ", ".join(sorted(published.releases))
        self.speaker.claim(
            bool(published.releases),
            f"published {releases}: {published.bytes_sent / 1000:.0f} kB, verified by the server before it took it",
        )

    def roll_out_first(self, release: ReleaseId, groups: Sequence[GroupName], *, killed_in: GroupName) -> None:
        """Step 5: both groups, one canary each; one device of ``killed_in`` is killed in mid-download."""
        slow = self._bytes_per_second(release)
        rollouts = {group: self._start_rollout(release, group, gate=quiet_gate(), max_bytes_s=slow) for group in groups}
        power_cut = PowerCut(fleet=self, rollout=rollouts[killed_in])
        views = Watch(speaker=self.speaker, client=self.client).follow(list(rollouts.values()), each=power_cut.look)
        for view in views:
            healthy = sum(device.state is UpdateState.HEALTHY for device in view.devices)
            self.speaker.claim(
                view.state == "completed" and healthy == len(view.devices),
                f"{view.spec.group}: {healthy} of {len(view.devices)} devices run {release}, canary first",
            )
        power_cut.prove()

    def prove_accuracy(self, expected: Mapping[ProfileName, float]) -> None:
        """Step 6: every device's accuracy on the held-out scans equals what the optimizer measured."""
        images, labels = self.digits.holdout_images, self.digits.holdout_labels
        measured = {
            device: served_accuracy(address, MODEL, images, labels) for device, address in self.addresses.items()
        }
        rows = [
            (device, self.agents[device].device.profile, percent(found), percent(self._promised(device, expected)))
            for device, found in measured.items()
        ]
        self.speaker.table(("device", "profile", "accuracy %", "optimizer said %"), rows)
        self.speaker.claim(
            all(found == self._promised(device, expected) for device, found in measured.items()),
            f"{len(measured)} devices serve exactly the accuracy that the optimizer measured, on {len(images)} scans",
        )

    def watch_drift(self, dirty: set[DeviceId]) -> None:
        """Step 7: the devices with a dirty scanner raise an alert that names what moved; the others none."""
        speaker = self.speaker
        with Traffic(model=MODEL, images=self._scans(dirty)) as traffic, speaker.waiting("sketches are on their way"):
            found = wait_until(lambda: {alert.device for alert in self._drift_alerts()} >= dirty, patience_s=40)
            time.sleep(4.0)
        alerts = self._drift_alerts()
        self.speaker.claim(not traffic.failed, f"{sum(traffic.sent.values())} requests were answered, none failed")
        for alert in alerts:
            moved = ", ".join(
                f"{feature.name} {feature.reference_mean:.2f} -> {feature.current_mean:.2f}"
                for feature in alert.moved[:3]
            )
            more = f", and {len(alert.moved) - 3} more" if len(alert.moved) > 3 else ""
            self.speaker.say(f"! {alert.device}: mean of {moved}{more}")
        self.speaker.claim(found, f"{' and '.join(sorted(dirty))} raised an alert that names the inputs that moved")
        self.speaker.claim(
            {alert.device for alert in alerts} == dirty, f"the {len(self.agents) - len(dirty)} others raised none"
        )
        requests = self.client.retrain_requests()
        self.speaker.claim(
            {device for request in requests for device in request.devices} == dirty,
            f"{len(requests)} retrain requests are written, with their evidence, in the server's folder",
        )

    def start_rollout(self, release: ReleaseId, group: GroupName, *, gate: GateSpec) -> RolloutId:
        """Start a rollout without a throttle: one canary, then the rest."""
        return self._start_rollout(release, group, gate=gate, max_bytes_s=0)

    def follow(self, rollout: RolloutId) -> RolloutView:
        """Return the rollout, ended."""
        (view,) = Watch(speaker=self.speaker, client=self.client).follow([rollout])
        return view

    def canary(self, view: RolloutView) -> DeviceId:
        """Return the one device of the first wave, after claiming that no other was touched."""
        (first,) = in_wave(view, 0)
        self.speaker.claim(untouched(view, first.device), f"no device but the canary {first.device} was offered it")
        return first.device

    def revive(self, device: DeviceId) -> None:
        """Start the device's agent again."""
        agent = self.agents[device]
        agent.running = self.processes.start(device, "agent", "run", "--config", str(agent.config))
        self.addresses[device] = wait_for_address(agent.running, agent.state)

    def transfer(self, device: DeviceId) -> TransferView | None:
        """Return the server's counters of the device's newest transfer."""
        found = sorted(self.client.transfers(device), key=lambda transfer: transfer.started_at)
        return found[-1] if found else None

    def scans(self, dirty: set[DeviceId]) -> dict[Address, training.NDArrayFloat]:
        """Return the held-out scans by the address that gets them; dirty ones for the named devices."""
        return self._scans(dirty)

    def _scans(self, dirty: set[DeviceId]) -> dict[Address, training.NDArrayFloat]:
        clean = self.digits.holdout_images
        return {address: shifted(clean) if device in dirty else clean for device, address in self.addresses.items()}

    def _drift_alerts(self) -> list[AlertView]:
        self.processes.check_alive()
        return [alert for alert in self.client.alerts() if alert.kind == "drift" and alert.state == "open"]

    def _promised(self, device: DeviceId, expected: Mapping[ProfileName, float]) -> float:
        return expected[self.agents[device].device.profile]

    def _bytes_per_second(self, release: ReleaseId) -> int:
        (view,) = [one for one in self.client.releases() if one.id == release]
        return int(min(artifact.length for artifact in view.artifacts) / DOWNLOAD_S)

    def _start_rollout(self, release: ReleaseId, group: GroupName, *, gate: GateSpec, max_bytes_s: int) -> RolloutId:
        from fleet_server.rollouts.spec import RolloutSpec

        spec = RolloutSpec(
            release=release, group=group, waves=("1", "100%"), gate=gate, max_bytes_s=max_bytes_s, device_timeout_s=60.0
        )
        return self.client.create_rollout(spec).id


@dataclass(slots=True, kw_only=True)
class PowerCut:
    """Kills one agent of the second wave in the middle of its download, and starts it again."""

    fleet: LivingFleet
    rollout: RolloutId
    victim: DeviceId | None = None
    at_requested: int = 0

    def look(self, views: Sequence[RolloutView]) -> None:
        """Kill the first device of the second wave whose download is between a quarter and three quarters."""
        if self.victim is not None:
            return
        (view,) = [view for view in views if view.id == self.rollout]
        for device in in_wave(view, 1):
            transfer = self.fleet.transfer(device.device)
            if transfer and KILL_BETWEEN[0] <= transfer.distinct / transfer.chunks <= KILL_BETWEEN[1]:
                self._kill(device.device, transfer)
                return

    def prove(self) -> None:
        """Claim that it happened, and that no verified chunk travelled twice."""
        speaker = self.fleet.speaker
        speaker.claim(self.victim is not None, "one agent was killed (SIGKILL) in the middle of its download")
        if self.victim is None:
            return
        transfer = self.fleet.transfer(self.victim)
        again = transfer.requested - transfer.distinct if transfer else 0
        speaker.claim(
            transfer is not None and transfer.distinct == transfer.chunks and transfer.repeated_verified == 0,
            f"{self.victim} came back and fetched the rest: {again} chunks that were on their way then were asked for "
            "once more, and it asked for no verified chunk again",
        )

    def _kill(self, device: DeviceId, transfer: TransferView) -> None:
        self.victim, self.at_requested = device, transfer.distinct
        self.fleet.agents[device].running.kill()
        share = transfer.distinct / transfer.chunks
        self.fleet.speaker.say(
            f"[bold]{device} loses its power[/] after {transfer.distinct} of {transfer.chunks} chunks ({share:.0%})"
        )
        self.fleet.revive(device)


def quiet_gate() -> GateSpec:
    """Return the gate of a first install: nothing runs yet, so there is no traffic to compare."""
    from fleet_server.rollouts.spec import GateSpec

    return GateSpec(soak_s=1.0, min_rows=0)


def watchful_gate() -> GateSpec:
    """Return the gate that holds the canary's answers against those of the other devices."""
    from fleet_server.rollouts.spec import GateSpec

    return GateSpec(soak_s=SOAK_S, patience_s=20.0, min_rows=150)
