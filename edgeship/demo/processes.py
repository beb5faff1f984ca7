"""The demo's processes: one fleet server (with its broker) and six agents, each a real one with its own log.

Every process is started through the command itself (``python -m edgeship ...``), as a person
would; what they print goes to a log file. Ending the demo ends exactly those that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from contracts.ids import DeviceId, GroupName, ProfileName
from edge_agent.state_folder import StateFolder, serving_address
from edgeship.demo.errors import ProcessDied
from edgeship.demo.narration import wait_until

STOP_PATIENCE_S = 10.0
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDevice:
    """One device of the demo."""

    id: DeviceId
    group: GroupName
    profile: ProfileName


@dataclass(slots=True, kw_only=True)
class Running:
    """One process that the demo started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check_alive(self) -> None:
        """Raise ProcessDied, with the last line of its log, where it has ended."""
        status = self.process.poll()
        if status is not None:
            raise ProcessDied(f"{self.name} ended with status {status}: {self.last_line()} (whole log: {self.log})")

    def last_line(self) -> str:
        """Return the last line of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass(slots=True, kw_only=True)
class Processes:
    """All that runs, in the order it was started; leaving the ``with`` block ends it in reverse."""

    folder: Path
    running: dict[str, Running] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End what was started."""
        self.stop_all()

    def start(self, name: str, *arguments: str) -> Running:
        """Start ``edgeship ARGUMENTS`` under that name."""
        return self.start_command(name, [sys.executable, "-m", "edgeship", *arguments])

    def start_command(self, name: str, command: list[str], *, keep_input: bool = False) -> Running:
        """Start the command under that name; with ``keep_input`` its standard input stays open until it ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(  # noqa: S603 (our own command)
                command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.PIPE if keep_input else subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
        self.running[name] = Running(name=name, process=process, log=log)
        return self.running[name]

    def check_alive(self) -> None:
        """Raise ProcessDied where one of them has ended."""
        for running in self.running.values():
            running.check_alive()

    def stop_all(self) -> None:
        """End all, the youngest first."""
        for running in reversed(self.running.values()):
            running.stop()
        self.running.clear()


def edgeship(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run one command to its end and return what it printed.

    Raises:
        ProcessDied: it failed; its last line is the reason.
    """
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-m", "edgeship", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **ENVIRONMENT, **(environment or {})},
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ProcessDied(
            f"'edgeship {arguments[0]} {arguments[1]}' failed: {words[-1] if words else 'it said nothing'}"
        )
    return done.stdout


def write_agent_config(
    folder: Path, device: DemoDevice, *, server_url: str, trust_root: Path, director_root: Path, sketch_window_s: float
) -> Path:
    """Write the agent's configuration; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "agent.toml"
    path.write_text(
        f"""device = "{device.id}"
profile = "{device.profile}"
state_dir = "{folder / "state"}"
trust_root = "{trust_root}"
director_root = "{director_root}"

[server]
url = "{server_url}"

[serving]
port = 0

[reporting]
heartbeat_s = 2.0
sketch_window_s = {sketch_window_s}

[update]
chunk_credit = 4
""",
        encoding="utf-8",
    )
    return path


def wait_for_address(running: Running, state: Path, *, patience_s: float = 30.0) -> tuple[str, int]:
    """Return where the agent serves, once it does.

    Raises:
        ProcessDied: it ended, or did not serve in time.
    """

    def serves() -> bool:
        running.check_alive()
        address = serving_address(StateFolder(state))
        return address is not None and address.pid == running.process.pid

    if not wait_until(serves, patience_s=patience_s):
        raise ProcessDied(f"{running.name} did not serve within {patience_s:g} s: {running.last_line()}")
    address = serving_address(StateFolder(state))
    if address is None:
        raise ProcessDied(f"{running.name} took its address back")
    return address.host, address.port
