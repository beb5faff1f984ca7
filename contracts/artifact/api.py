"""How a model is asked: its Open Inference Protocol v2 description, with an example that must come out as it says.

The example is the first golden row. The packer writes it into the member ``api`` and the agent serves it, both by these
lines and from the golden rows that it holds, so neither can say what the other does not.
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.artifact.golden import recorded_rows
from contracts.artifact.names import Side
from contracts.manifest import ArtifactManifest, ModelFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from contracts.artifact.layout import Artifact
    from contracts.codec import Plain
    from contracts.tensors import TensorSpec

    Rows = Mapping[str, NDArray[np.generic]]

EXAMPLE_LIMIT_ELEMENTS: Final = 1_024
"""Of one tensor that an example spells; a larger one is sent raw, and the example says how many bytes."""

_PLATFORMS: Final = {ModelFormat.ONNX: "onnxruntime_onnx", ModelFormat.TFLITE: "tflite_litert"}


def metadata(manifest: ArtifactManifest) -> dict[str, Plain]:
    """Return what ``GET /v2/models/M`` answers: the served tensors, with the ranges and labels that are stated."""
    return {
        "name": manifest.model,
        "versions": [manifest.version],
        "platform": _PLATFORMS[manifest.format],
        "inputs": [_tensor(spec) for spec in manifest.inputs],
        "outputs": [_tensor(spec) for spec in manifest.outputs],
        "parameters": {"labels": list(manifest.labels), "profile": manifest.profile},
    }


def example(manifest: ArtifactManifest, inputs: Rows, outputs: Rows) -> dict[str, Plain]:
    """Return a request and its answer, as JSON would have them.

    Args:
        manifest: of the model.
        inputs: recorded rows of each served input.
        outputs: recorded rows of each served output.
    """
    request = [_first_row(spec, inputs[spec.name]) for spec in manifest.inputs]
    answer = [_first_row(spec, outputs[spec.name]) for spec in manifest.outputs]
    wanted: list[Plain] = [
        {"name": spec.name, "parameters": {"binary_data": True}} for spec in manifest.outputs if _is_long(spec)
    ]
    asked: dict[str, Plain] = {"inputs": [*request]}
    if wanted:
        spelt: list[Plain] = [{"name": spec.name} for spec in manifest.outputs if not _is_long(spec)]
        asked["outputs"] = [*spelt, *wanted]
    return {
        "request": asked,
        "response": {"model_name": manifest.model, "model_version": manifest.version, "outputs": [*answer]},
    }


def description(artifact: Artifact) -> dict[str, Plain]:
    """Return what the member ``api`` holds: the metadata and the example.

    Raises:
        TensorError: the artifact's golden rows do not fit its manifest.
    """
    manifest = artifact.manifest
    rows = {side: recorded_rows(artifact, side) for side in Side}
    return {**metadata(manifest), "example": example(manifest, rows[Side.INPUT], rows[Side.OUTPUT])}


def _tensor(spec: TensorSpec) -> Plain:
    bounds = {name: bound for name, bound in (("low", spec.low), ("high", spec.high)) if bound is not None}
    described: dict[str, Plain] = {"name": spec.name, "datatype": spec.element.value, "shape": list(spec.shape)}
    return {**described, "parameters": dict(bounds)} if bounds else described


def _is_long(spec: TensorSpec) -> bool:
    return spec.elements_per_row > EXAMPLE_LIMIT_ELEMENTS


def _first_row(spec: TensorSpec, rows: NDArray[np.generic]) -> Plain:
    values = rows[0].reshape(-1)
    described: dict[str, Plain] = {
        "name": spec.name,
        "datatype": spec.element.value,
        "shape": [1, *spec.shape[1:]],
    }
    if _is_long(spec):
        return {**described, "parameters": {"binary_data_size": values.nbytes}}
    return {**described, "data": values.tolist()}
