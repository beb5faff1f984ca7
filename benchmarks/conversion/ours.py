"""Our own converter in a process of its own: ``python -m benchmarks.conversion.ours GIVEN OUT [--unrolled]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.conversion.inside.exchange import run


def convert(given: Path, out: Path) -> None:
    """Write the file that ``export-tflite`` gives, its own check beside ONNX Runtime included, and its adapter."""
    from contracts.codec import to_plain
    from optimizer.model import Model
    from optimizer.pass_ import Observations
    from optimizer.passes.export_tflite import ExportTflite

    form = "unrolled" if "--unrolled" in sys.argv else "sequence"
    written = ExportTflite(recurrent=form).run(Model.load(given / "model.onnx"), Observations())
    (out / "out.tflite").write_bytes(written.content)
    (out / "adapter.json").write_text(json.dumps([to_plain(step) for step in written.adapter]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run(convert))
