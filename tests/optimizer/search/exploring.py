"""``edgeship recipe explore`` as a process, on a small model with six recipes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.optimizer.builders import a_dataset, an_onnx_mlp

RECIPES = {
    "float": "",
    "u8s8": '[[pass]]\nuse = "quantize-static"\nrows = 32\n',
    "s8s8": '[[pass]]\nuse = "quantize-static"\nactivation = "QInt8"\nrows = 32\n',
    "percentile": '[[pass]]\nuse = "quantize-static"\nmethod = "percentile"\nrows = 32\n',
    "mse": '[[pass]]\nuse = "quantize-static"\nmethod = "mse"\nrows = 32\n',
    "dynamic": '[[pass]]\nuse = "quantize-dynamic"\n',
}


def make_desk(folder: Path) -> None:
    """Put a model, its data and the recipes into the folder."""
    model = an_onnx_mlp(inputs=64)
    data = a_dataset(model)
    assert data.label is not None
    model.save(folder / "mlp.onnx")
    rows = {"calibration/row": data.calibration["row"], "holdout/row": data.holdout["row"], "holdout/label": data.label}
    np.savez(folder / "rows.npz", allow_pickle=False, **rows)
    about = 'model = "mlp.onnx"\ntarget = "raspberry-pi-4"\ndata = "rows.npz"\n\n[[pass]]\nuse = "simplify-onnx"\n\n'
    for name, steps in RECIPES.items():
        (folder / f"{name}.toml").write_text(about + steps, encoding="utf-8")


def explore(desk: Path, out: str, *more: str) -> subprocess.Popen[bytes]:
    """Start exploring into ``out`` with a store of its own."""
    recipes = [str(desk / f"{name}.toml") for name in RECIPES]
    words = ["recipe", "explore", *recipes, "-o", str(desk / out), "--store", str(desk / f"{out}-store")]
    command = [sys.executable, "-m", "edgeship.cli", *words, "--runs", "40", "--max-drop", "30pp", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process, which must succeed."""
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told.decode()


def outcome(folder: Path) -> Any:
    """Return everything of a search but how long its steps took and whether a store had them."""
    plain = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    for candidate in plain["candidates"]:
        for step in candidate["product"]["lineage"]:
            del step["seconds"], step["from_store"]
    return plain


def files(folder: Path) -> dict[str, bytes]:
    """Return the model files of a search by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "models").iterdir())}
