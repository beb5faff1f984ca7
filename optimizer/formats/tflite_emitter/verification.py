"""Running the written file beside the original: a converter's success message proves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.errors import LibraryMissing, PassFailed
from optimizer.formats.onnx_format import OnnxSession
from optimizer.formats.quiet import quiet
from optimizer.formats.tflite_emitter.reading import read_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.emission import Emitted

TOLERANCE_RATIO = 1e-5
"""Largest difference of an output, as a share of the largest absolute value that ONNX Runtime gives."""


def check_equal(onnx_content: bytes, emitted: Emitted, *, rows: int = 4, seed: int = 0) -> float:
    """Return the largest difference over random inputs, as a share of the output's largest value.

    Raises:
        PassFailed: the file can't be loaded or run, or differs by more than ``TOLERANCE_RATIO``.
        MeasureFailed: ONNX Runtime refuses the original.
    """
    random = np.random.default_rng(seed)
    worst = 0.0
    original, written = OnnxSession(onnx_content, name="the original", threads=1), _TfliteRun(emitted)
    graph = read_graph(onnx_content)
    shapes = {name: graph.facts[name].shape for name in graph.inputs}
    for _ in range(rows):
        inputs = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
        expected, actual = original.run(inputs), written.run(inputs)
        worst = max([worst, *(_difference(expected[name], actual[name]) for name in expected)])
    if not worst <= TOLERANCE_RATIO:
        raise PassFailed(
            f"export-tflite: the written file differs from the original by {worst:.1e} of its largest output "
            f"(at most {TOLERANCE_RATIO:.0e} is accepted): a bug in the emitter; keep the ONNX candidate and report it"
        )
    return worst


def _difference(expected: NDArray[np.generic], actual: NDArray[np.float32]) -> float:
    """Return the largest difference over the largest expected value; infinite where shapes differ or NaN appears."""
    if expected.shape != actual.shape or not np.isfinite(actual).all():
        return float("inf")
    exact = expected.astype(np.float64)
    return float(np.abs(exact - actual).max(initial=0.0) / max(float(np.abs(exact).max(initial=0.0)), 1e-30))


class _TfliteRun:
    """The written file on LiteRT, one thread."""

    def __init__(self, emitted: Emitted) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise LibraryMissing("ai-edge-litert", "export-tflite") from error
        self._turned = emitted.channel_last
        try:
            with quiet():
                interpreter = Interpreter(model_content=emitted.content, num_threads=1)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise PassFailed(f"export-tflite: the written file can't be loaded: {error}") from error
        self._run = interpreter.get_signature_runner("serving_default")
        self._interpreter = interpreter

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        moved = {
            name: np.ascontiguousarray(np.moveaxis(values, 1, -1)) if name in self._turned else values
            for name, values in inputs.items()
        }
        outputs: dict[str, NDArray[np.float32]] = self._run(**moved)
        return outputs
