"""Joins the update to the inference side: what the machine decides is what answers and is sketched."""

from __future__ import annotations

import contextlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from contracts.ids import ModelName, ReleaseId
from contracts.manifest import ModelFormat
from edge_agent.errors import EngineMissing
from edge_agent.inference.engine import load_runtime
from edge_agent.inference.served_model import ServedModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.artifact import Artifact
    from edge_agent.drift.sketcher import Sketcher
    from edge_agent.inference.swap import ServedModels
    from edge_agent.update.serving import Servable

RUNTIMES: Mapping[ModelFormat, tuple[str, ...]] = {
    ModelFormat.ONNX: ("onnxruntime",),
    ModelFormat.TFLITE: ("ai_edge_litert", "tflite_runtime"),
}
"""Which modules read which format, the better one first."""


class InferencePort:
    """Implements ``update.serving.Serving`` over the served models."""

    def __init__(self, models: ServedModels, sketcher: Sketcher) -> None:
        self._models = models
        self._sketcher = sketcher

    def prepare(self, artifact: Artifact) -> None:
        """Import the runtime, if it is there; ``open`` says what to install where it is not."""
        with contextlib.suppress(EngineMissing):
            load_runtime(artifact.manifest.format)

    def open(self, artifact: Artifact) -> ServedModel:
        """Return the artifact's model, loaded and run once."""
        return ServedModel.open(artifact)

    def put(self, model: Servable) -> None:
        """Make it answer, watched from its first request on."""
        served = cast("ServedModel", model)  # the machine only puts what ``open`` gave it
        self._sketcher.watch(served)
        self._models.put(served)

    def remove(self, model: ModelName) -> None:
        """Let nothing answer for the model."""
        self._models.remove(model)

    def running(self, model: ModelName) -> ReleaseId | None:
        """Return the release that answers, if any does."""
        return self._models.releases().get(model)


def installed_runtimes() -> frozenset[str]:
    """Return the model formats that a runtime on this device can read; none is imported for it."""
    return frozenset(kind for kind, names in RUNTIMES.items() if any(find_spec(name) for name in names))


def resident_bytes() -> int:
    """Return the memory that this process holds in RAM."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
