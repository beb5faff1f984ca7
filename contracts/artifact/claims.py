"""What a manifest claims, checked before anything believes it: names, and numbers that bound something."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from contracts.artifact.names import check_tensor_names
from contracts.errors import ArtifactError
from contracts.ids import parse_model_name, parse_profile_name, release_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.manifest import ArtifactManifest
    from contracts.tensors import TensorSpec

COUNTER_LIMIT: Final = 2**53
"""Larger integers lose digits in JSON readers."""


def check_manifest(manifest: ArtifactManifest) -> None:
    """Let a manifest pass whose names can be shown and whose numbers bound what they say [artifact-2.1].

    Raises:
        ArtifactError: a name could be a path or deceive the eye [artifact-4.2] [artifact-4.3], or a number is none.
    """
    try:
        release_id(parse_model_name(manifest.model), manifest.version)
        parse_profile_name(manifest.profile)
        for what, specs in (("input", manifest.inputs), ("output", manifest.outputs)):
            check_tensor_names(what, [spec.name for spec in specs])
    except ValueError as error:
        raise ArtifactError(f"the manifest is refused: {error}") from error
    fault = next(_faults(manifest), None)
    if fault is not None:
        raise ArtifactError(f"the manifest is refused: {fault}; pack the artifact again")


def _faults(manifest: ArtifactManifest) -> Iterator[str]:
    if not 0 < manifest.counter < COUNTER_LIMIT:
        yield f"counter {manifest.counter} is not between 1 and {COUNTER_LIMIT - 1}"
    for spec in (*manifest.inputs, *manifest.outputs, *manifest.model_inputs, *manifest.model_outputs):
        yield from _tensor_faults(spec)
    for feature in manifest.sketch_plan.features:
        if not all(map(math.isfinite, feature.edges)):
            yield f"feature {feature.name[:80]!a} has an edge that is no finite number"


def _tensor_faults(spec: TensorSpec) -> Iterator[str]:
    bounds = [bound for bound in (spec.low, spec.high) if bound is not None]
    if not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):
        yield f"tensor {spec.name[:80]!a} has the range {spec.low} to {spec.high}"
    scale = spec.quantization.scale if spec.quantization is not None else 1.0
    if not (math.isfinite(scale) and scale > 0):
        yield f"tensor {spec.name[:80]!a} has the scale {scale}"
