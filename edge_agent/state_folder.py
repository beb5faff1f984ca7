"""What lies where in the agent's state folder: the one place that names its files.

    STATE/agent.lock         held by the running agent
    STATE/device.key         the device's private key
    STATE/enrollment.json    its place in the fleet
    STATE/authority.pem      the authorities that it trusts
    STATE/device.pem         its key and its certificate, as TLS reads them
    STATE/metadata/          signed metadata that were verified here, of both repositories, and what was trusted before
    STATE/models/            the slots of every model
    STATE/fetch/             artifacts under way
    STATE/indexes/           how the artifacts in the slots are cut into chunks
    STATE/journal            what the update was about to do
    STATE/outbox.sqlite      reports that the server does not have yet
    STATE/serving.json       where a running agent answers; gone when it ends
    STATE/revert-requested   an operator's word to a running agent: go back

>>> StateFolder(Path("state")).journal.as_posix()
'state/journal'
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import StateError

if TYPE_CHECKING:
    from edge_agent.disk import Disk


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder ``path`` and the paths in it; nothing is made by asking."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the running agent."""
        return self.path / "agent.lock"

    @property
    def device_key(self) -> Path:
        """The device's private key."""
        return self.path / "device.key"

    @property
    def enrollment(self) -> Path:
        """The server's answer to the enrollment."""
        return self.path / "enrollment.json"

    @property
    def authority(self) -> Path:
        """The authorities that the device trusts."""
        return self.path / "authority.pem"

    @property
    def certificate(self) -> Path:
        """The device's key and its certificate, as TLS reads them."""
        return self.path / "device.pem"

    @property
    def metadata(self) -> Path:
        """Folder of the signed metadata that were verified here, and of the memory of trust."""
        return self.path / "metadata"

    @property
    def models(self) -> Path:
        """Folder of every model's slots."""
        return self.path / "models"

    @property
    def fetch(self) -> Path:
        """Folder of the artifacts under way."""
        return self.path / "fetch"

    @property
    def journal(self) -> Path:
        """What the update was about to do."""
        return self.path / "journal"

    @property
    def outbox(self) -> Path:
        """The reports that the server does not have yet."""
        return self.path / "outbox.sqlite"

    @property
    def serving(self) -> Path:
        """Where a running agent answers."""
        return self.path / "serving.json"

    @property
    def revert_requested(self) -> Path:
        """There once an operator asked a running agent to go back."""
        return self.path / "revert-requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingAddress:
    """Where an agent answers inference requests, and the process id that does."""

    host: str
    port: int
    pid: int

    def __str__(self) -> str:
        """Return HOST:PORT."""
        return f"{self.host}:{self.port}"


def keep_private(folder: Path) -> None:
    """Make the folder where it is not there, and let nobody but its owner into it, whoever made it.

    Raises:
        OSError: it cannot be made, or is another user's.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(0o700)


def announce_serving(state: StateFolder, address: ServingAddress, disk: Disk) -> None:
    """Write down where the agent answers.

    Raises:
        StateError: the disk refuses.
    """
    text = json.dumps({"host": address.host, "port": address.port, "pid": address.pid})
    try:
        disk.write(state.serving, text.encode())
    except OSError as error:
        raise StateError(
            f"cannot write {state.serving}: {error.strerror}; free some room and start the agent again"
        ) from error


def serving_address(state: StateFolder) -> ServingAddress | None:
    """Return where the agent of that folder answers; None where none runs.

    Raises:
        StateError: the file is damaged.
    """
    try:
        told = json.loads(state.serving.read_text("utf-8"))
        return ServingAddress(host=str(told["host"]), port=int(told["port"]), pid=int(told["pid"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"{state.serving} cannot be read ({error}); remove it and start the agent again") from error
