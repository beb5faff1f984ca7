"""Exploring survives SIGKILL: with recorded figures the outcome is the same to the byte; with live ones nothing is done twice."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from optimizer.ledger import read_entries
from optimizer.store import FolderStore
from tests.optimizer.search.exploring import RECIPES, explore, files, finish, make_desk, outcome

KILLS = 10
pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with a model, its data and recipes."""
    make_desk(tmp_path)
    return tmp_path


def _killed_ten_times(desk: Path, out: str, *more: str, seed: int) -> list[str]:
    """Start exploring again and again, killing each process at a random moment, until ten were killed.

    One that ended before its moment was not killed: the next goes on in a new folder. Return the folders' names, each
    with a search that came to its end.
    """
    chance, killed, ended = random.Random(seed), 0, list[str]()
    while killed < KILLS:
        name = f"{out}-{len(ended)}"
        process = explore(desk, name, *more)
        try:
            _, told = process.communicate(timeout=chance.uniform(0.3, 3.0))
            assert process.returncode == 0, told.decode()
            ended.append(name)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
    finish(explore(desk, f"{out}-{len(ended)}", *more))
    return [*ended, f"{out}-{len(ended)}"]


def _twice(keys: list[str]) -> list[str]:
    return [key for key, count in Counter(keys).items() if count > 1]


def test_killed_ten_times_with_recorded_figures_front_and_bytes_are_those_of_an_uninterrupted_run(desk: Path) -> None:
    figures = str(desk / "figures")
    finish(explore(desk, "whole", "--figures", figures))
    finish(explore(desk, "replayed", "--replay", figures))

    ended = _killed_ten_times(desk, "killed", "--replay", figures, seed=7)

    wanted, bytes_wanted = outcome(desk / "replayed"), files(desk / "whole")
    assert [name for name in ended if outcome(desk / name) != wanted] == []
    assert [name for name in ended if files(desk / name) != bytes_wanted] == []
    winner = next((desk / "whole").glob("winner.[!l]*"))
    assert {(desk / name / winner.name).read_bytes() for name in ended} == {winner.read_bytes()}


def test_killed_with_live_timing_nothing_that_was_finished_is_done_again(desk: Path) -> None:
    ended = _killed_ten_times(desk, "live", seed=11)

    made = [[entry.key for entry in FolderStore(desk / f"{name}-store").ledger] for name in ended]
    taken = [
        [entry.key for entry in read_entries(ledger)]
        for name in ended
        for ledger in (desk / name / "figures").glob("*/ledger.jsonl")
    ]
    assert [_twice(keys) for keys in made] == [[] for _ in ended]
    assert [_twice(keys) for keys in taken] == [[] for _ in ended]
    assert min(map(len, made)) >= len(RECIPES)
    assert min(map(len, taken)) >= len(RECIPES)
