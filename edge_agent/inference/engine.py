"""What every runtime offers, and how one is chosen for an artifact.

An engine answers for the model file's own tensors, in their stored types; ``served_model`` puts preprocessing and
quantization around it. The laws that every engine keeps are in ``tests/conformance/engine_laws.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from contracts.manifest import ModelFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from contracts.manifest import ArtifactManifest
    from contracts.tensors import TensorSpec

    Tensors = Mapping[str, NDArray[np.generic]]


class Engine(Protocol):
    """One loaded model file. ``run`` may be called from several threads."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The file's inputs, in its order; ``quantization`` where the file states one."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The file's outputs, in its order."""
        ...

    def run(self, inputs: Tensors) -> Tensors:
        """Return the outputs by name for a batch of any size, also where the file's own batch is fixed.

        Args:
            inputs: for each input its stored values, C order, equal length along axis 0.

        Raises:
            InferenceFailed: the runtime failed, or the engine is closed.
        """
        ...

    def close(self) -> None:
        """Free the model; closing twice is harmless."""
        ...


def load_engine(manifest: ArtifactManifest, model: bytes) -> Engine:
    """Return the engine that runs this model file, with the manifest's number of threads.

    Raises:
        EngineMissing: its runtime is not installed.
        ModelRefused: the runtime can't read the file.
    """
    if manifest.format is ModelFormat.ONNX:
        from edge_agent.inference.engines.onnxruntime_engine import OnnxruntimeEngine

        return OnnxruntimeEngine.load(model, threads=manifest.threads)
    from edge_agent.inference.engines.tflite_engine import TfliteEngine

    return TfliteEngine.load(model, threads=manifest.threads)


def load_runtime(kind: ModelFormat) -> None:
    """Import the library that runs files of that format: what it takes is not a release's doing.

    Raises:
        EngineMissing: it is not installed.
    """
    if kind is ModelFormat.ONNX:
        from edge_agent.inference.engines.onnxruntime_engine import import_runtime

        import_runtime()
        return
    from edge_agent.inference.engines.tflite_engine import find_runtime

    find_runtime()


def run_in_pieces(run: Callable[[Tensors], Tensors], inputs: Tensors, *, rows: int) -> Tensors:
    """Return the outputs of a whole batch from a file that takes exactly ``rows`` rows at a time.

    The last piece is filled up by repeating its last row; what that adds is cut off again.
    """
    total = len(next(iter(inputs.values())))
    if total == rows:
        return run(inputs)
    pieces = [run({name: _piece(values, at, rows) for name, values in inputs.items()}) for at in range(0, total, rows)]
    return {name: np.concatenate([piece[name] for piece in pieces])[:total] for name in pieces[0]}


def fixed_rows(specs: Sequence[TensorSpec]) -> int:
    """Return how many rows a file with these inputs takes at a time; 0 where any number will do."""
    return max((spec.shape[0] for spec in specs if spec.shape and spec.shape[0] > 0), default=0)


def _piece(values: NDArray[np.generic], at: int, rows: int) -> NDArray[np.generic]:
    piece = values[at : at + rows]
    if len(piece) == rows:
        return piece
    return np.concatenate([piece, np.repeat(piece[-1:], rows - len(piece), axis=0)])
