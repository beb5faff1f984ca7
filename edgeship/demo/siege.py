"""Step 8: the demo attacks itself, first as an intruder on the server, then as a careless release engineer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.ids import DeviceId, GroupName, ProfileName, ReleaseId
from contracts.update import UpdateState
from edgeship.demo import training
from edgeship.demo.attacks import Intruder, Kept
from edgeship.demo.fleet import in_wave
from edgeship.demo.living import LivingFleet, quiet_gate, watchful_gate
from edgeship.demo.narration import wait_until
from edgeship.demo.optimizing import MODEL, only_candidate
from edgeship.demo.releasing import release_of
from edgeship.demo.traffic import Traffic

if TYPE_CHECKING:
    import torch

    from fleet_server.readmodel import RolloutView

FIRST = release_of("1.0.0")
GOOD, SLOW, PARTIAL, FORGED = "1.0.1", "1.1.0", "1.2.0", "6.6.6"


@dataclass(slots=True, kw_only=True)
class Siege:
    """The attacks on one group, in order; each leaves the fleet as it found it."""

    fleet: LivingFleet
    trained: training.Trained
    group: GroupName
    profile: ProfileName
    expected: ReleaseId = FIRST

    def run(self) -> None:
        """Run all five."""
        intruder = Intruder.enter(self.fleet.server_data)
        old = intruder.copy_metadata()
        good = self.pack(self.trained.network, GOOD, counter=2)
        slow = self.pack(training.made_slow(self.trained.network), SLOW, counter=3, quantized=False)
        partial = self.pack(training.made_partial(self.trained.network, digit=3, strength=4.0), PARTIAL, counter=4)
        self._wrong_key(intruder)
        self.fleet.desk.sign(good, slow, partial)
        self.fleet.publish()
        self._flipped_byte(intruder, good)
        self._genuine_update()
        self._replayed_metadata(intruder, old)
        self._slow_release()
        self._partial_release()

    def pack(self, network: torch.nn.Module, version: str, *, counter: int, quantized: bool = True) -> Path:
        """Make, pack and return an artifact of the network by the ordinary path, held to no budget.

        Forty held-out scans are enough for its golden rows.
        """
        from optimizer.data.dataset import Dataset

        desk, digits = self.fleet.desk, self.fleet.digits
        few = replace(digits, holdout_images=digits.holdout_images[:40], holdout_labels=digits.holdout_labels[:40])
        trained = training.save(network, few, desk.folder / "models" / version, name=MODEL)
        dataset = Dataset.load(trained.data)
        candidate = only_candidate(trained.onnx, dataset, self.profile, quantized=quantized)
        return desk.pack(candidate, dataset, version=version, counter=counter, profile=self.profile)

    def _wrong_key(self, intruder: Intruder) -> None:
        artifact = self.pack(self.trained.network, FORGED, counter=99)
        release = intruder.forge_release(artifact, now=datetime.now(UTC))
        view = self._attempt(release, "a release signed with a key of the intruder's own")
        self._claim_refused(view, UpdateState.REFUSED, "signature_refused")
        intruder.withdraw_forgery(release)

    def _flipped_byte(self, intruder: Intruder, artifact: Path) -> None:
        held = self.fleet.desk.artifact_path("1.0.0", self.profile)
        with intruder.flipped_byte(artifact, held=held) as place:
            view = self._attempt(release_of(GOOD), f"a genuine release with one bit flipped in chunk {place}")
        self._claim_refused(view, UpdateState.REFUSED, "chunk_mismatch")

    def _genuine_update(self) -> None:
        """The byte is put right: now the release is installed beside the first one, and everyone switches."""
        rollout = self.fleet.start_rollout(release_of(GOOD), self.group, gate=quiet_gate())
        view = self.fleet.follow(rollout)
        self.expected = release_of(GOOD)
        self.fleet.speaker.claim(
            view.state == "completed", f"with the byte put right, {self.group} moves to {self.expected}"
        )

    def _replayed_metadata(self, intruder: Intruder, old: Kept) -> None:
        with intruder.replayed_metadata(old):
            view = self._attempt(release_of(SLOW), "yesterday's metadata, genuine and unexpired, played again")
        self._claim_refused(view, UpdateState.REFUSED, "metadata_rollback")

    def _slow_release(self) -> None:
        view = self._attempt(release_of(SLOW), "a release with good signatures that is far too slow")
        self._claim_refused(view, UpdateState.ROLLED_BACK, "probation_latency")

    def _partial_release(self) -> None:
        self.fleet.speaker.say("[bold]attack:[/] a release that is fast, agrees with itself, and prefers one digit")
        with Traffic(model=MODEL, images=self.fleet.scans(set())) as traffic:
            rollout = self.fleet.start_rollout(release_of(PARTIAL), self.group, gate=watchful_gate())
            view = self.fleet.follow(rollout)
        self.fleet.speaker.claim(view.state == "rolled_back", f"the gate halted it: {view.reason}")
        canary = self.fleet.canary(view)
        self._claim_nothing_changed(canary)
        self.fleet.speaker.claim(
            not traffic.failed, f"all {sum(traffic.sent.values())} requests meanwhile were answered"
        )

    def _attempt(self, release: ReleaseId, words: str) -> RolloutView:
        self.fleet.speaker.say(f"[bold]attack:[/] {words}")
        rollout = self.fleet.start_rollout(release, self.group, gate=quiet_gate())
        return self.fleet.follow(rollout)

    def _claim_refused(self, view: RolloutView, state: UpdateState, code: str) -> None:
        (canary,) = in_wave(view, 0)
        self.fleet.speaker.claim(
            (canary.state, canary.code) == (state, code),
            f"{canary.device} {canary.state.replace('_', ' ')} ({canary.code}): {canary.detail}",
        )
        self.fleet.canary(view)
        self._claim_nothing_changed(canary.device)

    def _claim_nothing_changed(self, canary: DeviceId) -> None:
        group = [device for device in self.fleet.agents.values() if device.device.group == self.group]

        def all_as_before() -> bool:
            return all(list(self.fleet.device(agent.device.id).running.values()) == [self.expected] for agent in group)

        as_before = wait_until(all_as_before, patience_s=15)
        self.fleet.speaker.claim(as_before, f"{canary} and the others of its group run {self.expected}")
