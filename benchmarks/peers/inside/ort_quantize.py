"""ONNX Runtime's own quantizer: ``quant_pre_process``, then static or dynamic quantization."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from benchmarks.peers.inside.exchange import Reader, Work, run


def make(work: Work) -> onnx.ModelProto:
    """Return the quantized model; every option that no flag names stays at its default."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as name:
        prepared, output = Path(name) / "prepared.onnx", Path(name) / "out.onnx"
        quant_pre_process(work.model, prepared)
        options: dict[str, Any] = {"per_channel": True} if work.arguments.per_channel else {}
        if work.arguments.dynamic:
            quantize_dynamic(prepared, output, **options)
        else:
            if work.arguments.u8s8:
                options |= {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
            quantize_static(prepared, output, Reader(work.rows()), **options)
        return onnx.load(output)


if __name__ == "__main__":
    sys.exit(run(make, flags=("--dynamic", "--u8s8", "--per-channel"), tools=("onnxruntime", "onnx")))
