"""A lock from elsewhere runs no code unless the user says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from optimizer.cli.optimize import optimize
from optimizer.errors import LockError
from tests.optimizer.builders import a_dataset, an_onnx_mlp

pytestmark = pytest.mark.slow
_CODE = """\
from pathlib import Path
from optimizer.model import Model

def build():
    (Path(__file__).parent / "ran").touch()
    return Model.load(Path(__file__).parent / "mlp.onnx")
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Return a lock whose model is made by a function of a file; nothing has run since."""
    model = an_onnx_mlp(inputs=64)
    data = a_dataset(model)
    model.save(tmp_path / "mlp.onnx")
    rows = {"calibration/row": data.calibration["row"], "holdout/row": data.holdout["row"]}
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **rows)
    (tmp_path / "nets.py").write_text(_CODE, encoding="utf-8")
    words = [f"{tmp_path / 'nets.py'}:build", "--data", str(tmp_path / "rows.npz"), "--target", "raspberry-pi-4"]
    quick = ["--runs", "5", "--store", str(tmp_path / "store"), "--max-drop", "30pp"]
    made = CliRunner().invoke(optimize, [*words, "-o", str(tmp_path / "out"), *quick])
    assert made.exit_code == 0, made.output
    (tmp_path / "ran").unlink()
    return tmp_path / "out" / "winner.lock.toml"


def test_a_lock_that_names_code_is_refused_before_it_runs(lock: Path) -> None:
    told = CliRunner().invoke(optimize, ["--locked", str(lock), "-o", str(lock.parents[1] / "again")])

    assert isinstance(told.exception, LockError)
    assert "nets.py:build" in str(told.exception)
    assert "--run-code" in str(told.exception)
    assert not (lock.parents[1] / "ran").exists()


def test_with_the_users_word_it_runs(lock: Path) -> None:
    told = CliRunner().invoke(optimize, ["--locked", str(lock), "-o", str(lock.parents[1] / "again"), "--run-code"])

    assert told.exit_code == 0, told.output
    assert (lock.parents[1] / "ran").exists()
