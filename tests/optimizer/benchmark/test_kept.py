"""Figures that are taken once, and replayed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.manifest import TakenOn
from optimizer.benchmark.kept import KeptRunner, ReplayRunner
from optimizer.benchmark.runner import HostRunner, Measurable, Runner
from optimizer.benchmark.timing import Effort
from optimizer.errors import MeasureFailed
from optimizer.ledger import LEDGER, read_entries
from tests.conformance.runner_laws import RunnerLaws
from tests.optimizer.benchmark.measurables import EFFORT, ROWS, InventingRunner, a_measurable

GROUP = (a_measurable(seed=1), a_measurable(seed=2))


class TestKeptRunner(RunnerLaws):
    """The laws, with a folder between."""

    @pytest.fixture
    def runner(self, tmp_path: Path) -> Runner:
        """Return this machine, its figures kept."""
        return KeptRunner(HostRunner(), tmp_path)


class TestReplayRunner(RunnerLaws):
    """The laws, over what was recorded."""

    @pytest.fixture
    def runner(self, tmp_path: Path) -> Runner:
        """Return the replay of the figures that the laws ask for."""
        recording = KeptRunner(HostRunner(taken_on=TakenOn.TARGET), tmp_path)
        recording.time(GROUP, ROWS, effort=EFFORT, threads=1)
        recording.time(GROUP[:1], ROWS, effort=EFFORT, threads=1)
        recording.memory(GROUP[0], threads=1)
        recording.profile(GROUP[0], ROWS, runs=5, threads=1)
        return ReplayRunner(tmp_path)


def everything(runner: Runner) -> tuple[object, ...]:
    """Return one figure of each kind."""
    return (
        runner.time(GROUP, ROWS, effort=EFFORT, threads=1),
        runner.memory(GROUP[0], threads=1),
        runner.profile(GROUP[0], ROWS, runs=3, threads=1, named_as=GROUP[1].model),
    )


def ledger(folder: Path) -> list[str]:
    """Return what the ledgers say was taken, in order."""
    return [entry.what for path in folder.glob(f"*/{LEDGER}") for entry in read_entries(path)]


def figures(folder: Path) -> list[Path]:
    """Return the files of the kept figures."""
    return [path for path in sorted(folder.glob("*/*.json")) if len(path.stem) == 64]


def test_no_figure_is_taken_twice(tmp_path: Path) -> None:
    runner = InventingRunner()
    first = KeptRunner(runner, tmp_path)

    taken = everything(first)
    found = everything(KeptRunner(runner, tmp_path))

    assert found == taken
    assert runner.asked == 3
    assert ledger(tmp_path) == ["timing of mlp 1, mlp 2", "memory of mlp 1", "profile of mlp 1"]


def test_a_line_that_a_power_cut_left_unfinished_spoils_no_other(tmp_path: Path) -> None:
    kept = KeptRunner(InventingRunner(), tmp_path)
    kept.memory(GROUP[0], threads=1)
    (path,) = tmp_path.glob(f"*/{LEDGER}")
    path.write_bytes(path.read_bytes() + b'["3f')

    kept.memory(GROUP[1], threads=1)

    assert ledger(tmp_path) == ["memory of mlp 1", "memory of mlp 2"]


def test_the_order_and_the_labels_of_a_group_do_not_matter(tmp_path: Path) -> None:
    runner = InventingRunner()
    kept = KeptRunner(runner, tmp_path)
    renamed = (GROUP[1], dataclasses.replace(GROUP[0], label="other"))

    one, two = kept.time(GROUP, ROWS, effort=EFFORT, threads=1)
    found = kept.time(renamed, ROWS, effort=EFFORT, threads=1)

    assert found == (two, one)
    assert runner.asked == 1


@pytest.mark.parametrize("change", ["group", "rows", "effort", "threads", "steps", "machine", "claim"])
def test_whatever_a_figure_depends_on_makes_it_another(tmp_path: Path, change: str) -> None:
    group: tuple[Measurable, ...] = GROUP
    rows, effort, threads, runner = ROWS, EFFORT, 1, InventingRunner()
    KeptRunner(runner, tmp_path).time(group, rows, effort=effort, threads=threads)
    runner.asked = 0
    others = {
        "group": (GROUP[:1], rows, effort, threads),
        "rows": (group, {"row": ROWS["row"][:2]}, effort, threads),
        "effort": (group, rows, Effort(runs=6), threads),
        "threads": (group, rows, effort, 2),
        "steps": ((dataclasses.replace(GROUP[0], steps=()), GROUP[1]), rows, effort, threads),
    }
    runner.machine = "another, 2 cores" if change == "machine" else runner.machine
    runner.taken_on = TakenOn.HOST if change == "claim" else runner.taken_on

    group, rows, effort, threads = others.get(change, (group, rows, effort, threads))
    KeptRunner(runner, tmp_path).time(group, rows, effort=effort, threads=threads)

    assert runner.asked == 1


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", b'{"timings": {}, "memory_bytes": 1, "check": "x"}'])
def test_a_damaged_figure_is_taken_anew(tmp_path: Path, damage: bytes) -> None:
    runner = InventingRunner()
    kept = KeptRunner(runner, tmp_path)
    kept.memory(GROUP[0], threads=1)
    (path,) = figures(tmp_path)

    path.write_bytes(damage)

    assert kept.memory(GROUP[0], threads=1) == 1002
    assert kept.memory(GROUP[0], threads=1) == 1002


def test_a_figure_that_somebody_edited_is_taken_anew(tmp_path: Path) -> None:
    kept = KeptRunner(InventingRunner(), tmp_path)
    kept.memory(GROUP[0], threads=1)
    (path,) = figures(tmp_path)

    path.write_bytes(path.read_bytes().replace(b"1001", b"1"))

    assert kept.memory(GROUP[0], threads=1) == 1002


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    class Failing(InventingRunner):
        def memory(self, measurable: object, *, threads: int) -> int:
            del measurable, threads
            self.asked += 1
            raise MeasureFailed("no")

    runner = Failing()
    for_both = KeptRunner(runner, tmp_path)

    with pytest.raises(MeasureFailed):
        for_both.memory(GROUP[0], threads=1)
    with pytest.raises(MeasureFailed):
        for_both.memory(GROUP[0], threads=1)

    assert (runner.asked, figures(tmp_path), ledger(tmp_path)) == (2, [], [])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(MeasureFailed, match=r"cannot keep figures in .*file .*; free some room or give another folder"):
        KeptRunner(InventingRunner(), tmp_path / "file").memory(GROUP[0], threads=1)


def test_a_replay_gives_the_recorded_machine_and_its_claim(tmp_path: Path) -> None:
    recorded = everything(KeptRunner(InventingRunner(), tmp_path))

    replay = ReplayRunner(tmp_path)

    assert everything(replay) == recorded
    assert (replay.machine, replay.taken_on) == ("Cortex-A72, 4 cores", TakenOn.TARGET)


def test_a_replay_never_measures_and_names_what_is_missing(tmp_path: Path) -> None:
    KeptRunner(InventingRunner(), tmp_path).memory(GROUP[0], threads=1)
    replay = ReplayRunner(tmp_path)

    with pytest.raises(MeasureFailed, match="the timing of mlp 1, mlp 2 is not among the kept figures in"):
        replay.time(GROUP, ROWS, effort=EFFORT, threads=1)
    with pytest.raises(MeasureFailed, match="the memory of mlp 2 is not among the kept figures in"):
        replay.memory(GROUP[1], threads=1)
    with pytest.raises(MeasureFailed, match="the profile of mlp 1 is not among the kept figures in"):
        replay.profile(GROUP[0], ROWS, runs=3, threads=1)


def test_a_replay_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasureFailed, match="holds no kept figures; give another folder"):
        ReplayRunner(tmp_path)


def test_a_replay_of_two_machines_asks_for_one(tmp_path: Path) -> None:
    KeptRunner(InventingRunner(machine="a, 1 core"), tmp_path).memory(GROUP[0], threads=1)
    KeptRunner(InventingRunner(machine="b, 1 core"), tmp_path).memory(GROUP[0], threads=1)

    with pytest.raises(MeasureFailed, match="holds figures of several machines"):
        ReplayRunner(tmp_path)
    assert ReplayRunner(tmp_path, machine="b, 1 core").memory(GROUP[0], threads=1) == 1001


SHARING = """
import sys
from pathlib import Path
from optimizer.benchmark.kept import KeptRunner
from tests.optimizer.benchmark.measurables import EFFORT, ROWS, InventingRunner, a_measurable
import time

class Slow(InventingRunner):
    def time(self, *given, **more):
        time.sleep(0.3)
        return super().time(*given, **more)

runner = Slow()
KeptRunner(runner, Path(sys.argv[1])).time((a_measurable(seed=1),), ROWS, effort=EFFORT, threads=1)
print(runner.asked)
"""


@pytest.mark.slow
def test_processes_that_share_a_folder_take_each_figure_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARING, str(tmp_path)]

    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    asked = sorted(int(process.communicate()[0]) for process in running)

    assert asked == [0, 0, 1]
    assert ledger(tmp_path) == ["timing of mlp 1"]


def test_a_figure_under_another_keys_name_is_none(tmp_path: Path) -> None:
    runner = InventingRunner()
    kept = KeptRunner(runner, tmp_path)
    everything(kept)
    first, second, third = figures(tmp_path)

    first.write_bytes(second.read_bytes())
    second.write_bytes(third.read_bytes())
    third.write_bytes(b"[" * 100_000)
    everything(KeptRunner(runner, tmp_path))

    assert runner.asked == 6
