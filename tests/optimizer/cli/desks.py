"""A folder with a model, its data and two recipes, and the commands called on it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from optimizer.cli.optimize import optimize
from optimizer.cli.recipe import recipe
from tests.optimizer.builders import a_dataset, an_onnx_mlp

RECIPE = """\
model = "mlp.onnx"
target = "raspberry-pi-4"
data = "rows.npz"

[[pass]]
use = "simplify-onnx"

[[pass]]
use = "quantize-static"
rows = 32
"""


def write_desk(folder: Path) -> Path:
    """Write model, data and recipes into the folder and return it."""
    model = an_onnx_mlp(inputs=64)
    data = a_dataset(model)
    assert data.label is not None
    model.save(folder / "mlp.onnx")
    rows = {"calibration/row": data.calibration["row"], "holdout/row": data.holdout["row"], "holdout/label": data.label}
    np.savez(folder / "rows.npz", allow_pickle=False, **rows)
    (folder / "int8.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "float.toml").write_text(RECIPE.partition('\n[[pass]]\nuse = "quantize')[0], encoding="utf-8")
    return folder


def run_optimize(desk: Path, *more: str) -> Result:
    """Call ``optimize`` on the model and data into ``out``, with few runs; paths are named from here."""
    here = Path(os.path.relpath(desk))
    words = [str(here / "mlp.onnx"), "--data", str(here / "rows.npz"), "--target", "raspberry-pi-4"]
    quick = ["--runs", "5", "--store", str(desk / "store"), "--max-drop", "30pp"]
    return CliRunner().invoke(optimize, [*words, "-o", str(here / "out"), *quick, *more], env={"COLUMNS": "160"})


def run_recipe(*words: str) -> Result:
    """Call ``recipe`` on a wide terminal."""
    return CliRunner().invoke(recipe, words, env={"COLUMNS": "160"})
