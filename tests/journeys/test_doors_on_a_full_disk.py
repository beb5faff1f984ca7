"""A full disk at each door that writes: one line, nothing half written, and the same command works once there is room.

The disk is a small tmpfs where root may mount one; elsewhere a bound on the size of every file stands in for it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from contracts.artifact import read_artifact_file
from tests.journeys.doors import Shell, agent_config, files_in, public_keys, write_samples

pytestmark = pytest.mark.slow

PAGE = 4096
DISK_BYTES = 2**22
FILLING = "filling"


@dataclass(frozen=True, kw_only=True)
class SmallDisk:
    """A folder that can be filled; ``mounted`` tells whether it is a disk of its own."""

    folder: Path
    mounted: bool

    def leave(self, room_bytes: int, shell: Shell) -> Shell:
        """Leave that much room on the disk; return the shell for which this is so."""
        if not self.mounted:
            return replace(shell, most_bytes=room_bytes)
        with (self.folder / FILLING).open("wb", buffering=0) as file:
            try:
                while file.write(bytes(PAGE)):
                    pass
            except OSError:
                file.truncate(max(0, file.tell() - room_bytes))
        return shell

    def clear(self) -> None:
        """Make room again."""
        (self.folder / FILLING).unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield SmallDisk(folder=folder, mounted=mounted)
    subprocess.run(["umount", str(folder)], capture_output=True, check=mounted)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Shell(folder=folder)


@pytest.fixture
def repository(shell: Shell, disk: SmallDisk) -> Path:
    """A release repository on the disk, its keys elsewhere."""
    shell.done("server", "init", "--data", "server", "--token-file", "token")
    shell.done("keys", "init", "keys")
    folder = disk.folder / "repo"
    shell.done("release", "init", "--repository", folder, "--keys", "keys", *public_keys("server"))
    return folder


def optimized(shell: Shell, out: Path) -> list[str | Path]:
    words = ["optimize", "good.onnx", "--data", "good.npz", "--target", "raspberry-pi-4", "--max-drop", "90pp"]
    return [*words, "--runs", "5", "--store", "store", "-o", out]


def refused_for_room(disk: SmallDisk, shell: Shell, room_bytes: int, *arguments: str | Path) -> str:
    """Run the command with too little room, then with enough; return what it said the first time."""
    refusal = disk.leave(room_bytes, shell)(*arguments).refusal
    disk.clear()
    return refusal


@pytest.mark.parametrize("room_bytes", [PAGE, 60 * PAGE, 85 * PAGE])
def test_optimize_leaves_no_half_model_and_works_once_there_is_room(
    shell: Shell, disk: SmallDisk, room_bytes: int
) -> None:
    write_samples(shell.folder)
    command = optimized(shell, disk.folder / "out")
    shell.done(*optimized(shell, shell.folder / "elsewhere"))

    answer = disk.leave(room_bytes, shell)(*command)
    disk.clear()
    left = {name: content for name, content in files_in(disk.folder).items() if name.startswith("out/models")}

    assert "Traceback" not in answer.err
    assert answer.status == 1
    refusal = answer.err.strip().splitlines()[-1]
    assert re.search(r"give a folder that has room$|free some (space|room)", refusal)
    shell.done(*command)
    whole = files_in(disk.folder)
    assert left == {name: whole[name] for name in left}
    assert "out/search.json" in whole.keys() - left.keys()


def test_recipe_pack_leaves_no_half_artifact(shell: Shell, disk: SmallDisk) -> None:
    write_samples(shell.folder)
    shell.done(*optimized(shell, shell.folder / "out"))
    artifact = disk.folder / "mlp.artifact"
    command: list[str | Path] = [
        "recipe",
        "pack",
        "out",
        "--data",
        "good.npz",
        "--version",
        "1.0.0",
        "--counter",
        "1",
        "-o",
        artifact,
    ]

    refusal = refused_for_room(disk, shell, PAGE, *command)

    assert f"cannot write {artifact}: " in refusal
    assert files_in(disk.folder) == {}
    shell.done(*command)
    assert read_artifact_file(artifact).manifest.version == "1.0.0"


@pytest.mark.parametrize("room_bytes", [0, PAGE, 3 * PAGE, 40 * PAGE])
def test_server_init_can_be_run_again_after_any_lack_of_room(shell: Shell, disk: SmallDisk, room_bytes: int) -> None:
    command: list[str | Path] = [
        "server",
        "init",
        "--data",
        disk.folder / "server",
        "--token-file",
        disk.folder / "token",
    ]

    refused_for_room(disk, shell, room_bytes, *command)

    assert not (disk.folder / "token").exists()
    assert not (disk.folder / "server" / "online.pem").exists()
    assert "the password is shown this once" in shell.done(*command)
    assert re.fullmatch(r"[\w-]{40,}\n", (disk.folder / "token").read_text())


@pytest.mark.parametrize("room_bytes", [0, 300])
def test_keys_init_leaves_no_half_key(shell: Shell, disk: SmallDisk, room_bytes: int) -> None:
    command: list[str | Path] = ["keys", "init", disk.folder / "keys"]

    refused_for_room(disk, shell, room_bytes, *command)

    assert files_in(disk.folder) == {}
    shell.done(*command)


@pytest.mark.parametrize("room_bytes", [0, PAGE])
def test_release_draft_leaves_the_draft_as_it_was(
    shell: Shell, disk: SmallDisk, repository: Path, room_bytes: int
) -> None:
    write_samples(shell.folder)
    command: list[str | Path] = ["release", "draft", "good.artifact", "--repository", repository]
    before = files_in(repository)

    refused_for_room(disk, shell, room_bytes, *command)

    assert files_in(repository) == before
    assert "drafted digits@1.0.0" in shell.done(*command)


def test_an_agent_without_room_leaves_no_half_key(shell: Shell, disk: SmallDisk) -> None:
    config = agent_config(disk.folder / "agent", "https://127.0.0.1:9")
    command: list[str | Path] = ["agent", "enroll", "--config", config, "--token", f"{'t' * 43}.{'0' * 64}"]

    refusal = refused_for_room(disk, shell, 0, *command)

    assert "device.key: " in refusal
    assert "check the folder's owner and room" in refusal
    assert not (config.parent / "state" / "device.key").exists()
    assert "no answer from" in shell(*command).refusal
