"""The demo ends what it started, and says why something ended by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.ids import DeviceId, GroupName, ProfileName
from edge_agent.config import load_config
from edge_agent.disk import SystemDisk
from edge_agent.state_folder import ServingAddress, StateFolder, announce_serving
from edgeship.demo import processes
from edgeship.demo.errors import ProcessDied
from edgeship.demo.narration import wait_until
from edgeship.demo.processes import (
    DemoDevice,
    Processes,
    Running,
    edgeship,
    wait_for_address,
    write_agent_config,
)

SLEEPS = "print('ready', flush=True); import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


def running(folder: Path, program: str, *, wait: bool = True) -> Running:
    """Return a process that runs the Python program, once it is ready."""
    log = folder / "pi-1.log"
    with log.open("ab") as sink:
        process = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=sink, stderr=subprocess.STDOUT)
    assert not wait or wait_until(lambda: "ready" in log.read_text(), patience_s=10, pause_s=0.01)
    return Running(name="pi-1", process=process, log=log)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Running]:
    one = running(tmp_path, SLEEPS)
    yield one
    one.kill()


def test_stopping_asks_first(sleeper: Running) -> None:
    sleeper.stop()

    assert sleeper.process.returncode == -signal.SIGTERM


def test_stopping_makes_one_end_that_will_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_PATIENCE_S", 0.05)
    stubborn = running(tmp_path, STUBBORN)

    stubborn.stop()

    assert stubborn.process.returncode == -signal.SIGKILL


def test_stopping_one_that_has_ended_changes_nothing(tmp_path: Path) -> None:
    ended = running(tmp_path, "raise SystemExit(3)", wait=False)
    ended.process.wait()

    ended.stop()

    assert ended.process.returncode == 3


def test_a_power_cut_gives_no_time_to_say_goodbye(sleeper: Running) -> None:
    sleeper.kill()

    assert sleeper.process.returncode == -signal.SIGKILL


def test_one_that_ended_by_itself_is_named_with_its_last_words(tmp_path: Path) -> None:
    died = running(tmp_path, "print('first'); raise SystemExit('error: no room left')", wait=False)
    died.process.wait()

    with pytest.raises(ProcessDied, match=r"pi-1 ended with status 1: error: no room left \(whole log: .*pi-1.log\)"):
        died.check_alive()


def test_one_that_said_nothing_is_said_to_have(tmp_path: Path) -> None:
    silent = running(tmp_path, "", wait=False)
    silent.process.wait()

    with pytest.raises(ProcessDied, match="it said nothing"):
        silent.check_alive()


def test_leaving_the_block_ends_all_that_were_started_the_youngest_first(tmp_path: Path) -> None:
    ended: list[str] = []

    class Told(Running):
        """Says when it is stopped."""

        def stop(self) -> None:
            ended.append(self.name)

    log = tmp_path / "log"
    nobody = running(tmp_path, "", wait=False).process

    with Processes(folder=tmp_path) as started:
        started.running |= {name: Told(name=name, process=nobody, log=log) for name in ("server", "pi-1", "pi-2")}

    nobody.wait()
    assert ended == ["pi-2", "pi-1", "server"]
    assert started.running == {}


def test_an_address_counts_only_if_this_process_wrote_it(tmp_path: Path, sleeper: Running) -> None:
    state = StateFolder(tmp_path)
    announce_serving(state, ServingAddress(host="127.0.0.1", port=1, pid=os.getpid()), SystemDisk())

    with pytest.raises(ProcessDied, match=r"pi-1 did not serve within 0.05 s: ready"):
        wait_for_address(sleeper, tmp_path, patience_s=0.05)

    announce_serving(state, ServingAddress(host="127.0.0.1", port=81, pid=sleeper.process.pid), SystemDisk())
    assert wait_for_address(sleeper, tmp_path, patience_s=5) == ("127.0.0.1", 81)


def test_waiting_for_an_address_ends_when_the_agent_does(tmp_path: Path) -> None:
    died = running(tmp_path, "raise SystemExit('error: no root')", wait=False)
    died.process.wait()

    with pytest.raises(ProcessDied, match="pi-1 ended with status 1: error: no root"):
        wait_for_address(died, tmp_path, patience_s=60)


def test_the_configuration_is_one_that_the_agent_takes(tmp_path: Path) -> None:
    device = DemoDevice(id=DeviceId("pi-1"), group=GroupName("lab"), profile=ProfileName("raspberry-pi-4"))

    path = write_agent_config(
        tmp_path / "pi-1",
        device,
        server_url="https://127.0.0.1:81",
        trust_root=tmp_path / "root.json",
        director_root=tmp_path / "director-root.json",
        sketch_window_s=3.0,
    )

    config = load_config(path)
    assert (config.device, config.profile, config.serving.port) == ("pi-1", "raspberry-pi-4", 0)
    assert config.state_dir == tmp_path / "pi-1" / "state"
    assert tomllib.loads(path.read_text())["reporting"]["sketch_window_s"] == 3.0


@pytest.mark.slow
def test_a_command_gives_what_it_printed() -> None:
    assert "raspberry-pi-4" in edgeship("profile", "ls")


@pytest.mark.slow
def test_a_command_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ProcessDied, match=r"'edgeship agent status' failed: error: .*agent\.toml"):
        edgeship("agent", "status", "--config", str(tmp_path / "agent.toml"))
