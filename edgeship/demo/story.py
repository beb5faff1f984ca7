"""The nine steps, in order; each prints what it does and stops the demo where a claim does not hold."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.ids import DeviceId, GroupName, ProfileName
from edgeship.demo import training
from edgeship.demo.chapters import Chapters
from edgeship.demo.living import LivingFleet
from edgeship.demo.narration import Narrator
from edgeship.demo.optimizing import MODEL, percent, search, show
from edgeship.demo.processes import DemoDevice, Processes
from edgeship.demo.releasing import ReleaseDesk, release_of
from edgeship.demo.siege import Siege
from edgeship.demo.traffic import Traffic

if TYPE_CHECKING:
    from optimizer.search.candidate import Candidate

SORTING, MAIL = GroupName("sorting-line"), GroupName("mail-room")
PI, CORAL = ProfileName("raspberry-pi-4"), ProfileName("coral-dev-board")
DEVICES = (
    *(DemoDevice(id=DeviceId(f"pi-{number}"), group=SORTING, profile=PI) for number in (1, 2, 3)),
    *(DemoDevice(id=DeviceId(f"coral-{number}"), group=MAIL, profile=CORAL) for number in (1, 2, 3)),
)
FIRST_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One telling: where it happens and what was chosen."""

    speaker: Narrator
    folder: Path
    broker: str
    seed: int
    keep: bool

    @classmethod
    def tell(cls, speaker: Narrator, folder: Path, *, broker: str, seed: int, keep: bool) -> None:
        """Tell the whole story.

        Raises:
            DemoError: a step did not hold; everything that was started has ended.
        """
        story = cls(speaker=speaker, folder=folder, broker=broker, seed=seed, keep=keep)
        digits, trained = story.train()
        winners = story.optimize(trained)
        desk = ReleaseDesk.open(folder / "release-desk")
        with Processes(folder=folder / "logs") as processes:
            chapters = Chapters(speaker=speaker, folder=folder, desk=desk, processes=processes, digits=digits)
            with speaker.step(3, "pack and sign: two artifacts, one release, keys that the server never sees"):
                server = chapters.set_up_server(broker=broker)
                accuracies = {
                    profile: chapters.pack(winner, trained.data, version=FIRST_VERSION, counter=1, profile=profile)
                    for profile, winner in winners.items()
                }
                chapters.sign_and_show(release_of(FIRST_VERSION))
            with speaker.step(4, "start the fleet: one server with its broker, six agents, each a process of its own"):
                fleet = chapters.start_fleet(server, DEVICES)
            with speaker.step(5, "roll out: one canary, then the rest; one agent loses its power on the way"):
                fleet.roll_out_first(release_of(FIRST_VERSION), (SORTING, MAIL), killed_in=SORTING)
            with speaker.step(6, "serve: the held-out scans, asked over HTTP, device by device"):
                fleet.prove_accuracy(accuracies)
            with speaker.step(7, "watch: two devices get a dirty scanner"):
                fleet.watch_drift({DeviceId("pi-2"), DeviceId("coral-3")})
            with speaker.step(8, "attack: a stolen server, then two bad releases with good signatures"):
                Siege(fleet=fleet, trained=trained, group=SORTING, profile=PI).run()
            with speaker.step(9, "what held", timed=False):
                story.close(fleet)

    def train(self) -> tuple[training.Digits, training.Trained]:
        """Step 1."""
        with self.speaker.step(1, "train: a small network on real scans of handwritten digits"):
            digits = training.load_digits(seed=self.seed)
            self.speaker.say(
                f"{len(digits.train_images)} scans to train on, {len(digits.calibration_images)} to calibrate with, "
                f"{len(digits.holdout_images)} held out"
            )
            trained = write_model(self.speaker, digits, self.folder / "model", seed=self.seed)
            return digits, trained

    def optimize(self, trained: training.Trained) -> dict[ProfileName, Candidate]:
        """Step 2: the winner for each of the two profiles."""
        from optimizer.data.dataset import Dataset
        from optimizer.report import write_report

        winners = {}
        with self.speaker.step(2, "optimize: for a Raspberry Pi 4 (ONNX) and a Coral Dev Board (TFLite, int8 only)"):
            self.speaker.say("budgets: accuracy drop at most 1 point, file at most 200 kB, memory at most 64 MB")
            dataset = Dataset.load(trained.data)
            for profile in (PI, CORAL):
                with self.speaker.waiting(f"{profile}: making and measuring candidates") as tell:
                    found = search(trained.onnx, dataset, profile, progress=lambda what, _share: tell(what))
                winners[profile] = show(self.speaker, found)
                report = self.folder / "reports" / f"{profile}.html"
                report.parent.mkdir(exist_ok=True)
                write_report(found, report, dataset=dataset)
                self.speaker.say(f"report: {report}")
        return winners

    def close(self, fleet: LivingFleet) -> None:
        """Step 9; a kept demo gives its devices a little to do until Ctrl-C."""
        self.speaker.say(f"{self.speaker.claims} claims held in {self.speaker.elapsed_s:.0f} s")
        self.speaker.say(f"reports, logs, keys and state: {self.folder}")
        if not self.keep:
            self.speaker.say(f"the console was at {fleet.server_url}; 'make demo KEEP=1' leaves it there for a look")
            return
        self.speaker.say(f"console: {fleet.server_url}  sign in as [bold]admin[/] with [bold]{fleet.password}[/]")
        self.speaker.say("everything keeps running, with light traffic; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt), Traffic(model=MODEL, images=fleet.scans(set()), rows_s=4.0):
            while True:
                time.sleep(3600)
        self.speaker.say("stopping")


def write_model(speaker: Narrator, digits: training.Digits, folder: Path, *, seed: int) -> training.Trained:
    """Train, save and say how well it does."""
    with speaker.waiting("loading PyTorch") as tell:
        network = training.train(
            digits, seed=seed, progress=lambda epoch, loss: tell(f"training: epoch {epoch}, loss {loss:.3f}")
        )
        tell("exporting to a PyTorch program and to ONNX")
        trained = training.save(network, digits, folder, name=MODEL)
    speaker.claim(trained.accuracy > 0.95, f"{percent(trained.accuracy)} % of the held-out scans are read right")
    speaker.say(f"saved {trained.program.name}, {trained.onnx.name} and {trained.data.name} in {folder}")
    return trained


def write_samples(speaker: Narrator, folder: Path, *, seed: int) -> None:
    """Train and save model and data only."""
    write_model(speaker, training.load_digits(seed=seed), folder, seed=seed)
