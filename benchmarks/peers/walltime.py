"""How long one command takes from nothing to an artifact: ours with its defaults, and two peers on the same rows."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Bar
from benchmarks.peers.bars import unjudged, wall_time
from benchmarks.peers.cases import Case
from benchmarks.peers.environments import EnvironmentFailed, python_of
from benchmarks.peers.recipes import RECIPES
from benchmarks.peers.sides import save_arrays
from benchmarks.peers.work import limited, write_case

OURS, JUDGED, BESIDE = "edgeship optimize", "NNCF accuracy control", "ORT static"
OUT = "OUT"
"""Stands for a fresh output folder in a command."""


def wall_time_bars(
    case: Case, cache: Path, *, repeats: int, seed: int, limit_s: float, told: Callable[[str], None]
) -> list[Bar]:
    """Return the bars on the time of one command: in turn, each in a fresh process with an empty cache of its own."""
    try:
        commands = {OURS: our_command(case, cache), **peer_commands(case, cache, told)}
    except EnvironmentFailed as error:
        return [unjudged("one command with defaults: time", target="<= 1 x", note=str(error))]
    chance = random.Random(seed)  # noqa: S311 (an order, no secret)
    seconds: dict[str, list[float]] = {tool: [] for tool in commands}
    for turn in range(repeats):
        for tool in chance.sample(list(commands), k=len(commands)):
            told(f"one command, {tool}, {turn + 1} of {repeats}")
            taken, line = timed_command(commands[tool], cache / "wall-time", limit_s=limit_s)
            if line:
                return [unjudged(f"one command with defaults: {tool}", target="<= 1 x", note=line)]
            seconds[tool].append(taken)
    return wall_time(seconds, ours=OURS, peer=JUDGED)


def our_command(case: Case, cache: Path) -> list[str]:
    """Return our one line, on the rows that the peers are given; the data file is written first."""
    data = cache / f"wall-time-{case.name}.npz"
    arrays = {f"calibration/{name}": values for name, values in case.calibration.rows.items()}
    arrays |= {f"holdout/{name}": values for name, values in case.judged.rows.items()}
    if case.judged.label is not None:
        arrays["holdout/label"] = case.judged.label
    save_arrays(data, arrays)
    line = ["optimize", str(case.model), "--data", str(data), "--target", "host", "-o", OUT]
    return [sys.executable, "-m", "edgeship", *line]


def peer_commands(case: Case, cache: Path, told: Callable[[str], None]) -> dict[str, list[str]]:
    """Return the peers' commands on the same rows.

    Raises:
        EnvironmentFailed: a peer could not be installed.
    """
    given = write_case(case, {}, cache / "cases")
    commands = {}
    for recipe in RECIPES:
        if recipe.name in (JUDGED, BESIDE):
            python = str(python_of(recipe.environment, cache, told))
            script = f"benchmarks.peers.inside.{recipe.script}"
            commands[recipe.name] = [python, "-m", script, str(given), OUT, *recipe.flags]
    return commands


def timed_command(command: list[str], place: Path, *, limit_s: float) -> tuple[float, str]:
    """Return the seconds of one run with an empty home, and why it ended badly, if it did."""
    shutil.rmtree(place, ignore_errors=True)
    out, home = place / "out", place / "home"
    for folder in (out, home):
        folder.mkdir(parents=True)
    given = [str(out) if word == OUT else word for word in command]
    started = time.perf_counter()
    line = limited(given, place / "log.txt", limit_s=limit_s, surroundings={"HOME": str(home)})
    return time.perf_counter() - started, line
