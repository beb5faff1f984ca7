"""The process that makes a delta ends with the server, however that ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import TinyModel, a_tiny_onnx_artifact


@pytest.mark.slow
def test_a_delta_that_nobody_waits_for_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "delta"
    folder.mkdir()
    for name, seed in (("base", 1), ("target", 2)):
        (folder / name).write_bytes(a_tiny_onnx_artifact(TinyModel(hidden=100_000, seed=seed)))
    paths = [str(folder / name) for name in ("base", "target", "delta")]
    command = [sys.executable, "-m", "fleet_server.releases.delta_process", *paths]

    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        process.communicate(timeout=30.0)

    assert process.returncode == 1
    assert not folder.exists()
