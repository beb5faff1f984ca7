"""Exploring survives SIGKILL: with recorded figures the outcome is the same to the byte; with live ones nothing is done twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.store import FolderStore
from tests.optimizer.builders import a_dataset, an_onnx_mlp

KILLS = 10
_RECIPES = {
    "float": "",
    "u8s8": '[[pass]]\nuse = "quantize-static"\nrows = 32\n',
    "s8s8": '[[pass]]\nuse = "quantize-static"\nactivation = "QInt8"\nrows = 32\n',
    "percentile": '[[pass]]\nuse = "quantize-static"\nmethod = "percentile"\nrows = 32\n',
    "mse": '[[pass]]\nuse = "quantize-static"\nmethod = "mse"\nrows = 32\n',
    "dynamic": '[[pass]]\nuse = "quantize-dynamic"\n',
}
pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a folder with a model, its data and six recipes."""
    model = an_onnx_mlp(inputs=64)
    data = a_dataset(model)
    assert data.label is not None
    model.save(tmp_path / "mlp.onnx")
    rows = {"calibration/row": data.calibration["row"], "holdout/row": data.holdout["row"], "holdout/label": data.label}
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **rows)
    about = 'model = "mlp.onnx"\ntarget = "raspberry-pi-4"\ndata = "rows.npz"\n\n[[pass]]\nuse = "simplify-onnx"\n\n'
    for name, steps in _RECIPES.items():
        (tmp_path / f"{name}.toml").write_text(about + steps, encoding="utf-8")
    return tmp_path


def _explore(desk: Path, out: str, *more: str) -> subprocess.Popen[bytes]:
    recipes = [str(desk / f"{name}.toml") for name in _RECIPES]
    words = ["recipe", "explore", *recipes, "-o", str(desk / out), "--store", str(desk / f"{out}-store")]
    command = [sys.executable, "-m", "edgeship.cli", *words, "--runs", "40", "--max-drop", "30pp", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told.decode()


def _kill_and_finish(desk: Path, out: str, *more: str, seconds: list[float]) -> int:
    """Start it again and again, killing each after its time; let the last one finish; return how many were killed."""
    killed = 0
    for after_s in seconds:
        process = _explore(desk, out, *more)
        try:
            process.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
    _finish(_explore(desk, out, *more))
    return killed


def _outcome(folder: Path) -> Any:
    """Return everything of a search but how long its steps took and whether a store had them."""
    plain = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    for candidate in plain["candidates"]:
        for step in candidate["product"]["lineage"]:
            del step["seconds"], step["from_store"]
    return plain


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "models").iterdir())}


def test_killed_ten_times_with_recorded_figures_front_and_bytes_are_those_of_an_uninterrupted_run(desk: Path) -> None:
    figures = str(desk / "figures")
    _finish(_explore(desk, "whole", "--figures", figures))
    _finish(_explore(desk, "replayed", "--replay", figures))
    chance = random.Random(7)

    killed = _kill_and_finish(
        desk, "killed", "--replay", figures, seconds=[chance.uniform(0.5, 4.0) for _ in range(KILLS)]
    )

    assert killed >= KILLS // 2
    assert _outcome(desk / "killed") == _outcome(desk / "replayed")
    assert _files(desk / "killed") == _files(desk / "whole")
    winner = next((desk / "killed").glob("mlp.*"))
    assert winner.read_bytes() == (desk / "whole" / winner.name).read_bytes()


def test_killed_with_live_timing_nothing_that_was_finished_is_done_again(desk: Path) -> None:
    chance = random.Random(11)

    killed = _kill_and_finish(desk, "live", seconds=[chance.uniform(0.5, 4.0) for _ in range(KILLS)])

    made = [entry.key for entry in FolderStore(desk / "live-store").ledger]
    (ledger,) = (desk / "live" / "figures").glob("*/ledger.jsonl")
    taken = [json.loads(line)["key"] for line in ledger.read_text(encoding="utf-8").splitlines()]
    assert killed >= KILLS // 2
    assert len(made) >= len(_RECIPES)
    assert [key for key, count in Counter(made).items() if count > 1] == []
    assert [key for key, count in Counter(taken).items() if count > 1] == []
    assert (desk / "live" / "report.html").exists()
