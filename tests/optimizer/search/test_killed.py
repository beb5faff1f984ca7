"""Exploring survives SIGKILL: with recorded figures the outcome is the same to the byte; with live ones nothing is done twice."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from optimizer.ledger import LEDGER, read_entries
from optimizer.store import FolderStore
from tests.optimizer.search.exploring import RECIPES, explore, files, finish, make_desk, outcome

KILLS = 10
pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with a model, its data and recipes."""
    make_desk(tmp_path)
    return tmp_path


def _kill_and_finish(desk: Path, out: str, *more: str, seconds: list[float]) -> int:
    """Start it again and again, killing each after its time; let the last one finish; return how many were killed."""
    killed = 0
    for after_s in seconds:
        process = explore(desk, out, *more)
        try:
            process.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
    finish(explore(desk, out, *more))
    return killed


def test_killed_ten_times_with_recorded_figures_front_and_bytes_are_those_of_an_uninterrupted_run(desk: Path) -> None:
    figures = str(desk / "figures")
    finish(explore(desk, "whole", "--figures", figures))
    finish(explore(desk, "replayed", "--replay", figures))
    chance = random.Random(7)

    killed = _kill_and_finish(
        desk, "killed", "--replay", figures, seconds=[chance.uniform(0.5, 4.0) for _ in range(KILLS)]
    )

    assert killed >= KILLS // 2
    assert outcome(desk / "killed") == outcome(desk / "replayed")
    assert files(desk / "killed") == files(desk / "whole")
    (winner,) = (desk / "killed").glob("winner.[!l]*")  # not its lock
    assert winner.read_bytes() == (desk / "whole" / winner.name).read_bytes()


def test_killed_with_live_timing_nothing_that_was_finished_is_done_again(desk: Path) -> None:
    chance = random.Random(11)

    killed = _kill_and_finish(desk, "live", seconds=[chance.uniform(0.5, 4.0) for _ in range(KILLS)])

    made = [entry.key for entry in FolderStore(desk / "live-store").ledger]
    (ledger,) = (desk / "live" / "figures").glob(f"*/{LEDGER}")
    taken = [entry.key for entry in read_entries(ledger)]
    assert killed >= KILLS // 2
    assert len(made) >= len(RECIPES)
    assert [key for key, count in Counter(made).items() if count > 1] == []
    assert [key for key, count in Counter(taken).items() if count > 1] == []
    assert (desk / "live" / "report.html").exists()
