"""The inference side as the update sees it, without a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.artifact import Artifact
from contracts.ids import Digest, ModelName, ReleaseId, digest_of, release_id
from contracts.manifest import ArtifactManifest, ModelFormat
from edge_agent.errors import ModelRefused
from edge_agent.update.serving import Servable
from tests.fakes.disk import PowerCut


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a golden check shows."""

    max_difference: float = 0.0
    disagreements: int = 0
    latencies_ms: Sequence[float] = (1.0,) * 8


class FakeModel:
    """Implements ``Servable`` with figures that the test chose."""

    def __init__(self, manifest: ArtifactManifest, figures: Figures) -> None:
        self.manifest = manifest
        self.release = release_id(manifest.model, manifest.version)
        self.closed = False
        self._figures = figures

    def golden_check(self) -> Figures:
        return self._figures

    def close(self) -> None:
        self.closed = True


class FakeServing:
    """Implements ``Serving``; ``figures`` by release, and releases that cannot be loaded, are the test's."""

    def __init__(self) -> None:
        self.figures: dict[str, Figures] = {}
        self.unloadable: set[str] = set()
        self.crashing: set[str] = set()
        self.deadly: set[str] = set()
        self.last_words = "segment 7 of graph 3"
        self.served: list[ReleaseId] = []
        self.opened: list[Digest] = []
        self.prepared: list[ModelFormat] = []
        self._now: dict[ModelName, Servable] = {}

    def prepare(self, artifact: Artifact) -> None:
        self.prepared.append(artifact.manifest.format)

    def open(self, artifact: Artifact) -> FakeModel:
        model = FakeModel(artifact.manifest, Figures())
        self.opened.append(digest_of(artifact.model))
        if model.release in self.unloadable:
            raise ModelRefused(f"{model.release} is no model")
        if model.release in self.crashing:
            raise RuntimeError(self.last_words)
        if model.release in self.deadly:
            raise PowerCut
        return FakeModel(artifact.manifest, self.figures.get(model.release, Figures()))

    def put(self, model: Servable) -> None:
        self.served.append(model.release)
        self._now[model.manifest.model] = model

    def remove(self, model: ModelName) -> None:
        self._now.pop(model, None)

    def running(self, model: ModelName) -> ReleaseId | None:
        served = self._now.get(model)
        return served.release if served else None
