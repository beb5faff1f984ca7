"""onnxsim: simplify, then take what its ``recommend_quantization`` recommends on the calibration rows."""

from __future__ import annotations

import sys

import onnx

from benchmarks.peers.inside.exchange import Work, run


def make(work: Work) -> onnx.ModelProto:
    """Return the recommended model, its accuracy budget left at its default."""
    import onnxsim

    simplified, _ = onnxsim.simplify(onnx.load(work.model))
    found = onnxsim.recommend_quantization(simplified, calibration_data=work.rows())
    print(found)
    model: onnx.ModelProto = found.quantized_model
    return model


if __name__ == "__main__":
    sys.exit(run(make, flags=(), tools=("onnxsim", "onnx", "onnxruntime")))
