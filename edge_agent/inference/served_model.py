"""An artifact that answers: its model file behind its own preprocessing, in the tensors that clients see.

    client's values -> preprocessing -> stored type -> engine -> real values -> postprocessing -> client

``open`` believes nothing: the file's tensors must be those of the manifest, the recorded inputs must fit, the
sketch plan must work on them and the file must run. After that ``infer`` checks nothing but that its answers are
numbers; requests are checked at the door (``validation``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from contracts.artifact import Side
from contracts.artifact.api import example, metadata
from contracts.artifact.golden import recorded_rows
from contracts.errors import TensorError
from contracts.features import feature_values
from contracts.ids import release_id
from contracts.postprocessing import before_choice, chosen, differences, steps_of
from contracts.preprocessing import DTYPES, apply_steps, to_real, to_stored
from contracts.tensors import ElementType
from edge_agent.errors import InferenceFailed, ModelRefused
from edge_agent.inference.engine import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from contracts.artifact import Artifact
    from contracts.codec import Plain
    from contracts.ids import ReleaseId
    from contracts.manifest import ArtifactManifest
    from contracts.postprocessing import AnswerStep
    from contracts.preprocessing import Step
    from contracts.tensors import Quantization, TensorSpec
    from edge_agent.inference.engine import Engine, Tensors

    Seconds = Callable[[], float]

WARM_UP_RUNS = 3
SCALE_SLACK = 1e-6
"""How far the manifest's scale may be from the file's, relative: the file keeps it as float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenResult:
    """How the recorded inputs were answered here, row by row.

    ``max_difference`` is the largest absolute difference from a recorded output, in its unit (infinite where an
    answer is no number); ``disagreements`` counts rows whose top class, or whose choice, differs; ``latencies_ms`` has
    one entry a row.
    """

    rows: int
    max_difference: float
    disagreements: int
    latencies_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """The way from a served input to the file's."""

    served: str
    spec: TensorSpec
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """The way from the file's output to the served one."""

    served: TensorSpec
    spec: TensorSpec
    steps: tuple[AnswerStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the client gets, and the same before choices were made of it: what drift is watched by."""

    served: Tensors
    watched: Tensors


class ServedModel:
    """One release of one model, loaded and ready. ``infer`` may be called from several threads.

    Attributes:
        release: what it says it is in every answer.
        manifest: its artifact's manifest.
        row_ms: how long one row takes here, milliseconds, best of the first runs.
    """

    def __init__(self, artifact: Artifact, engine: Engine, *, seconds: Seconds) -> None:
        manifest = artifact.manifest
        self.manifest = manifest
        self.release: ReleaseId = release_id(manifest.model, manifest.version)
        self._engine = engine
        self._seconds = seconds
        self._inputs = tuple(
            _Input(served=served.name, spec=spec, steps=_steps_of(manifest, served.name))
            for served, spec in zip(manifest.inputs, manifest.model_inputs, strict=True)
        )
        self._outputs = tuple(
            _Output(served=served, spec=spec, steps=steps_of(manifest.postprocessing, served.name))
            for served, spec in zip(manifest.outputs, manifest.model_outputs, strict=True)
        )
        self._golden_inputs = _golden(artifact, Side.INPUT)
        self._golden_outputs = _golden(artifact, Side.OUTPUT)
        self.row_ms = self._try_out()

    @classmethod
    def open(cls, artifact: Artifact, *, seconds: Seconds = time.perf_counter) -> ServedModel:
        """Return the artifact's model, loaded, checked against its manifest and run once.

        Raises:
            EngineMissing: no runtime for its format is installed.
            ModelRefused: the file can't be read or run, or it is not what its manifest says.
        """
        manifest = artifact.manifest
        _check_pairs(manifest)
        engine = load_engine(manifest, artifact.model)
        try:
            _check_tensors("input", engine.inputs, manifest.model_inputs)
            _check_tensors("output", engine.outputs, manifest.model_outputs)
            return cls(artifact, engine, seconds=seconds)
        except ModelRefused:
            engine.close()
            raise

    def infer(self, inputs: Tensors) -> Tensors:
        """Return the served outputs for served inputs that fit the manifest; any batch size.

        Raises:
            InferenceFailed: the runtime failed, or an output holds NaN or an infinity.
        """
        return self.answer(inputs).served

    def answer(self, inputs: Tensors) -> Answers:
        """Return the served outputs, as ``infer`` does, and what drift is watched by.

        Raises:
            InferenceFailed: as ``infer``.
        """
        stored = {
            way.spec.name: to_stored(apply_steps(way.steps, way.served, inputs[way.served]), way.spec)
            for way in self._inputs
        }
        given = self._engine.run(stored)
        real = {way.served.name: _real(given[way.spec.name], way, self.release) for way in self._outputs}
        if not self.manifest.postprocessing:
            return Answers(served=real, watched=real)
        watched = {way.served.name: _scored(real[way.served.name], way, self.release) for way in self._outputs}
        served = {
            way.served.name: chosen(way.steps, way.served.name, watched[way.served.name]) for way in self._outputs
        }
        return Answers(served=served, watched=watched)

    def description(self) -> dict[str, Plain]:
        """Return what the protocol tells of a model, with the first recorded row as an example."""
        plain = metadata(self.manifest)
        shown = example(self.manifest, self._golden_inputs, self._golden_outputs)
        return {**plain, "parameters": {**cast("dict[str, Plain]", plain["parameters"]), "example": shown}}

    def golden_check(self) -> GoldenResult:
        """Return how the recorded inputs are answered, each as a request of one row.

        Raises:
            InferenceFailed: the runtime failed on one of them.
        """
        answers, latencies_ms = [], []
        for row in self._golden_rows():
            started_s = self._seconds()
            answers.append(self.infer(row))
            latencies_ms.append((self._seconds() - started_s) * 1000.0)
        together = {name: np.concatenate([answer[name] for answer in answers]) for name in self._golden_outputs}
        found = differences(self.manifest.postprocessing, together, self._golden_outputs)
        return GoldenResult(
            rows=len(answers),
            max_difference=found.largest,
            disagreements=found.disagreements,
            latencies_ms=tuple(latencies_ms),
        )

    def close(self) -> None:
        """Free the model; closing twice is harmless."""
        self._engine.close()

    def _golden_rows(self) -> Iterator[Tensors]:
        for at in range(self.manifest.golden.rows):
            yield {name: values[at : at + 1] for name, values in self._golden_inputs.items()}

    def _try_out(self) -> float:
        """Return the shortest time of a few runs on one recorded row; refuse what can't run or can't be sketched."""
        row = next(self._golden_rows())
        times_ms = []
        try:
            for _ in range(WARM_UP_RUNS):
                started_s = self._seconds()
                answer = self.answer(row)
                times_ms.append((self._seconds() - started_s) * 1000.0)
        except (InferenceFailed, TensorError) as error:
            raise ModelRefused(f"{self.release} can't answer its own recorded input: {error}") from error
        for way in self._outputs:
            given = answer.served[way.served.name]
            if given.shape[1:] != way.served.shape[1:] or given.ndim != len(way.served.shape):
                raise ModelRefused(
                    f"output {way.served.name!r} has shape {given.shape}, its manifest says {way.served.shape}"
                )
            if given.dtype != DTYPES[way.served.element]:
                raise ModelRefused(
                    f"output {way.served.name!r} is {given.dtype}, its manifest says {way.served.element}"
                )
        _check_plan(self.manifest, row, answer.watched)
        return min(times_ms)


def _steps_of(manifest: ArtifactManifest, tensor: str) -> tuple[Step, ...]:
    return tuple(step for step in manifest.preprocessing if step.tensor == tensor)


def _real(stored: NDArray[np.generic], way: _Output, release: ReleaseId) -> NDArray[np.generic]:
    if way.spec.quantization is not None:
        return to_real(stored, way.spec.quantization)
    if way.steps:
        return _checked(to_real(stored, None), way, release)
    return _checked(stored.astype(DTYPES[way.served.element], copy=False), way, release)


def _scored(values: NDArray[np.generic], way: _Output, release: ReleaseId) -> NDArray[np.generic]:
    """Return the output as its steps leave it before a choice is made of it."""
    return _checked(before_choice(way.steps, way.served.name, values), way, release) if way.steps else values


def _checked(values: NDArray[np.generic], way: _Output, release: ReleaseId) -> NDArray[np.generic]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InferenceFailed(
            f"{release} gave NaN or an infinity in output {way.served.name!r} for inputs that fit its manifest; "
            "state narrower ranges for its inputs, or mend the model"
        )
    return values


def _check_pairs(manifest: ArtifactManifest) -> None:
    if not manifest.inputs or not manifest.outputs or manifest.golden.rows < 1:
        raise ModelRefused("a model needs an input, an output and a recorded row; pack the artifact again")
    if not all(spec.shape for spec in (*manifest.inputs, *manifest.outputs)):
        raise ModelRefused("a served tensor without a batch can't be asked for in rows; pack the artifact again")
    if len(manifest.inputs) != len(manifest.model_inputs) or len(manifest.outputs) != len(manifest.model_outputs):
        raise ModelRefused("the manifest does not pair each served tensor with one of the file's; pack it again")


def _check_tensors(what: str, found: Sequence[TensorSpec], stated: Sequence[TensorSpec]) -> None:
    names, wanted = [spec.name for spec in found], [spec.name for spec in stated]
    if names != wanted:
        raise ModelRefused(f"the model file's {what}s are {names}, its manifest says {wanted}")
    for spec, other in zip(found, stated, strict=True):
        if not _same(spec, other):
            raise ModelRefused(
                f"{what} {spec.name!r} of the model file is {_words(spec)}, its manifest says {_words(other)}"
            )


def _same(found: TensorSpec, stated: TensorSpec) -> bool:
    """Return whether the two agree."""
    return (
        found.element is stated.element
        and found.shape[1:] == stated.shape[1:]
        and _same_batch(found.shape[:1], stated.shape[:1])
        and _same_quantization(found.quantization, stated.quantization, stated.element)
    )


def _same_batch(found: tuple[int, ...], stated: tuple[int, ...]) -> bool:
    """Return whether the batches agree; the engine makes any batch of a fixed one, so -1 agrees with every size."""
    return found == stated or (bool(found and stated) and -1 in (*found, *stated))


def _same_quantization(found: Quantization | None, stated: Quantization | None, element: ElementType) -> bool:
    """Return whether the scales agree; an ONNX file states none, and its manifest may for whole numbers only."""
    if found is None:
        return stated is None or element not in (ElementType.FP32, ElementType.FP16, ElementType.BOOL)
    if stated is None or found.zero_point != stated.zero_point:
        return False
    return abs(found.scale - stated.scale) <= SCALE_SLACK * found.scale


def _words(spec: TensorSpec) -> str:
    quantization = spec.quantization
    scale = f" x {quantization.scale:g} at {quantization.zero_point}" if quantization else ""
    return f"{spec.element} {list(spec.shape)}{scale}"


def _golden(artifact: Artifact, side: Side) -> dict[str, NDArray[np.generic]]:
    try:
        return recorded_rows(artifact, side)
    except TensorError as error:
        raise ModelRefused(str(error)) from error


def _check_plan(manifest: ArtifactManifest, row: Tensors, watched: Tensors) -> None:
    """Refuse a plan that would fail on every request."""
    classes = len(manifest.sketch_plan.output.class_counts)
    if classes and watched[manifest.outputs[0].name].shape[1:] != (classes,):
        raise ModelRefused(f"the sketch plan counts {classes} classes, the first output has another shape")
    for feature in manifest.sketch_plan.features:
        try:
            feature_values(feature.kind, feature.index, row[feature.tensor])
        except (KeyError, IndexError, ValueError) as error:
            raise ModelRefused(
                f"feature {feature.name!r} of the sketch plan does not fit its input: {error}"
            ) from error
