"""onnx-neural-compressor: static quantization as its README has it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from benchmarks.peers.inside.exchange import Reader, Work, run


def make(work: Work) -> onnx.ModelProto:
    """Return the quantized model; it writes its weights beside the file, so they are read back in."""
    from onnx_neural_compressor.quantization import (  # type: ignore[import-not-found] # in its own environment alone
        config,
        quantize,
    )

    with TemporaryDirectory() as name:
        output = Path(name) / "out.onnx"
        quantize(str(work.model), str(output), config.StaticQuantConfig(calibration_data_reader=Reader(work.rows())))
        return onnx.load(output)


if __name__ == "__main__":
    sys.exit(run(make, flags=(), tools=("onnx-neural-compressor", "onnx", "onnxruntime")))
