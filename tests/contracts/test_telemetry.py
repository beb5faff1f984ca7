"""Runtimes report to nobody: a fresh home stays empty whichever door loads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.optimizer.builders import an_onnx_mlp

_DOORS = {
    "optimizer": "from optimizer.formats.session import open_session; from optimizer.model import Model;"
    "open_session(Model.load(sys.argv[1]))",
    "agent": "from edge_agent.inference.engines.onnxruntime_engine import OnnxruntimeEngine as Engine;"
    "Engine.load(open(sys.argv[1], 'rb').read(), threads=1)",
    "a pass": "from optimizer.model import Model; from optimizer.pass_ import Observations;"
    "from optimizer.passes import QuantizeDynamic; QuantizeDynamic().run(Model.load(sys.argv[1]), Observations())",
}


@pytest.mark.slow
@pytest.mark.parametrize("door", list(_DOORS))
def test_nothing_is_written_to_the_users_home(door: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    an_onnx_mlp().save(tmp_path / "mlp.onnx")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}

    subprocess.run(
        [sys.executable, "-c", f"import sys; {_DOORS[door]}", str(tmp_path / "mlp.onnx")],
        check=True,
        env={**kept, "HOME": str(home)},
    )

    assert [path for path in home.rglob("*") if path.is_file()] == []
