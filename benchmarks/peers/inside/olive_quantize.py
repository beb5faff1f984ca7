"""Olive: ``olive run`` with static int8 QDQ on the user's own rows, or its one line ``olive optimize``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from benchmarks.peers.inside.exchange import Work, run

WITHOUT_NETWORK = {"OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}


class OliveFailed(Exception):
    """Olive ended without a model; the text is its own last line."""


def make(work: Work) -> onnx.ModelProto:
    """Return the model that Olive wrote.

    Raises:
        OliveFailed: it wrote none.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        if work.arguments.optimize:
            command = ["optimize", "-m", str(work.model), "--precision", "int8", "-o", str(folder / "out")]
        else:
            (folder / "run.json").write_text(json.dumps(configuration(work, folder)), encoding="utf-8")
            command = ["run", "--config", str(folder / "run.json")]
        done = subprocess.run(
            [str(Path(sys.executable).with_name("olive")), *command],
            cwd=folder,
            env=os.environ | WITHOUT_NETWORK,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        written = sorted((folder / "out").rglob("*.onnx"))
        if not written:
            raise OliveFailed(last_line(done.stderr) or last_line(done.stdout) or f"status {done.returncode}")
        return onnx.load(written[0])


def configuration(work: Work, folder: Path) -> dict[str, Any]:
    """Return the run's configuration."""
    providers = ["CPUExecutionProvider"]
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(work.model)},
        "systems": {
            "here": {"type": "LocalSystem", "accelerators": [{"device": "cpu", "execution_providers": providers}]}
        },
        "data_configs": [
            {
                "name": "rows",
                "user_script": str(Path(__file__).with_name("olive_rows.py")),
                "load_dataset_config": {
                    "type": "calibration_rows",
                    "params": {"data_dir": str(work.folder / "calibration.npz")},
                },
                "dataloader_config": {"params": {"batch_size": 1}},
            }
        ],
        "passes": {"quantization": {"type": "OnnxStaticQuantization", "data_config": "rows", "quant_format": "QDQ"}},
        "target": "here",
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "out"),
    }


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(run(make, flags=("--optimize",), tools=("olive-ai", "onnx", "onnxruntime")))
