"""Attack 34: the disk fills or the power goes at each write of an update, and what lies on the disk is changed meanwhile.

The table of writes and the device are those of ``tests/edge_agent/update/test_power_cut.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.artifact import read_artifact, write_artifact
from contracts.ids import digest_of
from contracts.update import UpdateState
from edge_agent.errors import AgentError
from tests.edge_agent.update.conftest import _no_waiting_for_the_disk  # noqa: F401 - a fixture that works by being here
from tests.edge_agent.update.test_power_cut import WRITES_OF_ONE_UPDATE, _device, _offer_again_if_forgotten
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.disk import CrashingDisk, FillingDisk, PowerCut

UNREACHED = 3
"""At most so many of the table's last rows see no cut: how often data are synced on the way hangs on the time."""
EVERY_WRITE = pytest.mark.parametrize("after_writes", range(WRITES_OF_ONE_UPDATE))
WHOLE = an_artifact(version="2", counter=2)
GENUINE = {digest_of(read_artifact(an_artifact(version=version)).model) for version in ("1", "2")}


def offer_while_it_fills(device: FakeDevice, after_writes: int) -> FillingDisk:
    """Offer release 2 on a disk with room for that many writes."""
    disk = FillingDisk(after_writes)
    device.disk = disk
    device.restart()
    with contextlib.suppress(AgentError, OSError):  # where not even the failure can be noted
        device.offer("digits@2")
    return disk


def kill(device: FakeDevice, after_writes: int) -> bool:
    """Offer release 2 and end the device before that write; return whether it got that far."""
    device.disk = CrashingDisk(after_writes)
    device.restart()
    try:
        device.offer("digits@2")
    except PowerCut:
        return True
    return False


def flip(content: bytes) -> bytes:
    """Return the file with one bit of release 2's model another."""
    place = content.find(WHOLE[9_000:9_016])
    return content if place < 0 else content[:place] + bytes((content[place] ^ 0x40,)) + content[place + 1 :]


def swap(content: bytes) -> bytes:
    """Return an artifact as whole as release 2, which nobody signed, where the file is release 2."""
    artifact = read_artifact(WHOLE)
    other = write_artifact(artifact.manifest, {**artifact.members, "model": artifact.model[::-1]})
    return other if content == WHOLE else content


def damage(folder: Path, how: Callable[[bytes], bytes]) -> int:
    """Change every file of the device that holds something of release 2; return how many there were."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    changed = {path: how(path.read_bytes()) for path in paths}
    return sum(path.read_bytes() != content and bool(path.write_bytes(content)) for path, content in changed.items())


@EVERY_WRITE
def test_attack_34_the_disk_is_full_at_any_write(after_writes: int, tmp_path: Path) -> None:
    device = _device(tmp_path / "state")

    disk = offer_while_it_fills(device, after_writes)
    during = device.running
    told = {report.code for report in device.reports if report.state is UpdateState.FAILED}
    disk.left = None
    device.restart()
    after = device.running
    device.resume()
    device.offer("digits@2")

    assert told <= {"disk_full"}
    assert during in {"digits@1", "digits@2"}
    assert after in {"digits@1", "digits@2"}
    assert (device.running, device.last.state) == ("digits@2", UpdateState.HEALTHY)


def test_attack_34_a_full_disk_is_told_by_its_name(tmp_path: Path) -> None:
    device = _device(tmp_path / "state")

    offer_while_it_fills(device, 8)

    assert device.running == "digits@1"
    assert (device.last.state, device.last.code) == (UpdateState.FAILED, "disk_full")


@pytest.mark.parametrize("how", [flip, swap])
@pytest.mark.parametrize("after_writes", range(WRITES_OF_ONE_UPDATE - UNREACHED))
def test_attack_34_killed_at_any_write_and_changed_before_it_comes_back(
    after_writes: int, how: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    device = _device(tmp_path / "state")

    killed = kill(device, after_writes)
    damage(device.state, how)
    device.disk = CrashingDisk()
    device.restart()
    back_as = device.running
    device.resume()
    _offer_again_if_forgotten(device)
    opened = set(device.serving.opened)
    device.restart()

    assert killed
    assert back_as in {"digits@1", ""}
    assert opened | set(device.serving.opened) <= GENUINE
    assert device.running in {"digits@1", "digits@2"}


@pytest.mark.slow
@pytest.mark.parametrize(("how", "least"), [(flip, 10), (swap, 5)])
def test_the_change_is_one_that_reaches_the_artifact(how: Callable[[bytes], bytes], least: int, tmp_path: Path) -> None:
    reached = [_damaged_at(tmp_path / str(after), after, how) for after in range(12, WRITES_OF_ONE_UPDATE)]

    assert sum(reached) >= least


def _damaged_at(folder: Path, after_writes: int, how: Callable[[bytes], bytes]) -> int:
    device = _device(folder)
    kill(device, after_writes)
    return damage(device.state, how)
