"""What the operator does, through the server's own API, and how the demo shows it live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.ids import DeviceId, RolloutId
from contracts.update import UpdateState
from edgeship.demo.errors import StepFailed
from edgeship.demo.narration import Narrator, bar

if TYPE_CHECKING:
    from rich.table import Table

    from fleet_server.client import FleetClient
    from fleet_server.readmodel import RolloutDeviceView, RolloutView

SIGNS = {
    UpdateState.QUEUED: "○ queued",
    UpdateState.OFFERED: "○ offered",
    UpdateState.DOWNLOADING: "↓ downloading",
    UpdateState.VERIFYING: "◑ verifying",
    UpdateState.INSTALLING: "◐ installing",
    UpdateState.PROBATION: "◐ probation",
    UpdateState.HEALTHY: "✓ healthy",
    UpdateState.REFUSED: "✕ refused",
    UpdateState.FAILED: "✕ failed",
    UpdateState.ROLLED_BACK: "↺ rolled back",
    UpdateState.TIMED_OUT: "✕ timed out",
    UpdateState.CANCELLED: "○ cancelled",
}
MOVING = ("running", "paused", "rolling_back")
POLL_S = 0.2


@dataclass(slots=True, kw_only=True)
class Watch:
    """Follows rollouts until all have ended; on a terminal it draws, elsewhere it prints what changes."""

    speaker: Narrator
    client: FleetClient
    patience_s: float = 90.0
    said: dict[tuple[str, str], str] = field(default_factory=dict)

    def follow(
        self, rollouts: Sequence[RolloutId], *, each: Callable[[Sequence[RolloutView]], None] = lambda _views: None
    ) -> list[RolloutView]:
        """Return the rollouts, ended.

        Args:
            rollouts: which.
            each: called with every look at them.

        Raises:
            StepFailed: they did not end in time.
        """
        from rich.live import Live

        end = time.monotonic() + self.patience_s
        with Live(console=self.speaker.console, refresh_per_second=8, transient=True) as live:
            while True:
                views = [self.client.rollout(rollout) for rollout in rollouts]
                each(views)
                if self.speaker.console.is_terminal:
                    live.update(drawn(views))
                self._tell(views)
                if all(view.state not in MOVING for view in views):
                    return views
                if time.monotonic() > end:
                    states = ", ".join(f"{view.id} is {view.state} ({view.reason})" for view in views)
                    raise StepFailed(f"the rollouts did not end within {self.patience_s:g} s: {states}")
                time.sleep(POLL_S)

    def _tell(self, views: Iterable[RolloutView]) -> None:
        for view in views:
            for wave in view.waves:
                if wave.state in ("soaking", "passed", "failed"):
                    self._once(view.id, f"{view.spec.group} wave {wave.index + 1}", f"{wave.state}")
            for device in view.devices:
                if device.state.is_final and device.state is not UpdateState.CANCELLED:
                    self._once(view.id, device.device, SIGNS[device.state])

    def _once(self, rollout: str, thing: str, state: str) -> None:
        if state == self.said.get((rollout, thing)):
            return
        self.said[rollout, thing] = state
        self.speaker.say(f"[bright_black]{thing:20s} {state}[/]")


def drawn(views: Sequence[RolloutView]) -> Table:
    """Return the rollouts as a table of bars for a terminal."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 1, 0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for view in views:
        table.add_row(f"    [bold]{view.spec.release}[/] to {view.spec.group}", view.state.replace("_", " "), "")
        for device in view.devices:
            table.add_row(f"    wave {device.wave + 1}  {device.device}", SIGNS[device.state], progress_of(device))
    return table


def progress_of(device: RolloutDeviceView) -> str:
    """Return the download's bar in words, or nothing where there is none."""
    if not device.chunks_total or device.state is not UpdateState.DOWNLOADING:
        return ""
    return f"{bar(device.chunks_done, device.chunks_total, width=12)} {device.chunks_done}/{device.chunks_total}"


def in_wave(view: RolloutView, wave: int) -> list[RolloutDeviceView]:
    """Return the devices of one wave."""
    return [device for device in view.devices if device.wave == wave]


def untouched(view: RolloutView, touched: DeviceId) -> bool:
    """Return whether no device but that one was ever offered anything by the rollout."""
    others = [device for device in view.devices if device.device != touched]
    return all(device.state in (UpdateState.QUEUED, UpdateState.CANCELLED) for device in others)
