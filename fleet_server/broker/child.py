"""A broker that runs as a child process: started, waited for, watched, ended.

The port is chosen once and kept in DATA/broker/port, because enrolled devices know it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_server.errors import BrokerUnreachable, DataDirUnusable, PortTaken

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildBroker:
    """A running broker of our own."""

    host: str
    port: int
    banner: str
    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def reload(self) -> None:
        """Make it read certificates, revocations and rules again; sessions live on."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End the process; a broker that does not end in 5 s is killed."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin:
            # a child that was killed leaves a broken pipe
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


def start_child(command: Sequence[str], *, folder: Path, port: int, banner: str) -> ChildBroker:
    """Start the broker and wait until it accepts connections on the port.

    ``folder`` gets the broker's log and its process id; one that a killed server left behind is ended.

    Raises:
        BrokerUnreachable: it ended at once, or did not accept within 20 s; its last words are named.
    """
    end_orphan(folder)
    log_path = folder / "broker.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
    (folder / "pid").write_text(str(process.pid), encoding="ascii")
    broker = ChildBroker(host=LOOPBACK, port=port, banner=banner, process=process)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _accepts(port):
        if not broker.alive or time.monotonic() > deadline:
            broker.stop()
            raise BrokerUnreachable(f"the broker {command[0]} did not start: {_last_words(log_path)}")
        time.sleep(0.05)
    return broker


def settled_port(folder: Path, wanted: int) -> int:
    """Return the port for our broker: the one wanted, the one used before, or a free one, which is kept.

    Raises:
        PortTaken: another process listens there.
        DataDirUnusable: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        end_orphan(folder)
        kept = folder / "port"
        port = wanted or (int(kept.read_text(encoding="ascii")) if kept.exists() else 0)
        port = _claim(port)
        kept.write_text(str(port), encoding="ascii")
    except OSError as error:
        raise DataDirUnusable(f"cannot write to {folder}: {error.strerror}") from error
    return port


def end_orphan(folder: Path) -> None:
    """End a broker that a killed server left running in this folder."""
    try:
        pid = int((folder / "pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    if str(folder).encode() in _command(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Return whether the process still holds anything: one that only waits to be reaped does not.

    A process whose first thread has ended holds its port until its other threads have, too.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    fields = stat.rpartition(")")[2].split()  # proc(5): state is the 3rd, num_threads the 20th
    return fields[0] not in {"Z", "X"} or int(fields[17]) > 1


def _command(pid: int) -> bytes:
    """Return the command line of the process; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _claim(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTaken(
                f"port {port} for the broker is taken by another process; stop it, or choose another with "
                "[broker] port in server.toml (devices must then enroll again)"
            ) from error
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


def _last_words(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
