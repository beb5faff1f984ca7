"""From a candidate to the bytes of its artifact: model, tensors, golden rows, sketch plan, measurements, lineage.

What is packed is checked before it is handed out: the finished artifact is read back and must
reproduce its own golden answers on this machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from contracts.artifact import read_artifact, write_artifact
from contracts.errors import ContractError
from contracts.ids import ProfileName, parse_model_name, release_id
from contracts.manifest import ArtifactManifest, Budget, ModelFormat
from contracts.preprocessing import DTYPES
from contracts.sketch import OutputReference
from contracts.tensors import ElementType, TensorSpec
from optimizer.data.dataset import Dataset, misfits
from optimizer.errors import PackingError
from optimizer.formats.session import open_session
from optimizer.packing.golden import answers_of, choose_golden, ranks, verify_packed
from optimizer.packing.lineage import lineage_of, measurements
from optimizer.packing.sketch_plan import output_reference, plan_sketch
from optimizer.search.candidate import Candidate, Verdict
from optimizer.served import Served

if TYPE_CHECKING:
    from numpy.typing import NDArray


GOLDEN_ROWS = 32

_ELEMENTS = {dtype: element for element, dtype in DTYPES.items()}


def pack(
    candidate: Candidate,
    *,
    version: str,
    counter: int,
    profile: ProfileName,
    dataset: Dataset,
    budget: Budget,
    labels: Sequence[str] = (),
    golden_rows: int = GOLDEN_ROWS,
) -> bytes:
    """Return the artifact of the candidate for the profile; it reproduces its golden answers here.

    Args:
        candidate: the one to ship, most often ``search.winner``.
        version: of the model, as in ``1.2.0``.
        counter: of the release; only grows.
        profile: of the devices that it is for.
        dataset: what the search ran on: golden rows and the reference of the sketch are taken from it.
        budget: what the device may spend.
        labels: names of the classes; by default those in the data.
        golden_rows: how many holdout rows to keep with their answers.

    Raises:
        PackingError: the target can't run the candidate, the data, the labels or the version do not
            fit it, or this machine can't reproduce its answers.
    """
    _check_fit(candidate, dataset, version)
    served = _served(candidate, dataset)
    answers = answers_of(served, dataset.holdout)
    golden, picked = choose_golden(served, dataset.holdout, answers=answers, wanted=golden_rows)
    output = _output(candidate, answers)
    manifest = ArtifactManifest(
        model=parse_model_name(candidate.model.name),
        version=version,
        counter=counter,
        profile=profile,
        format=_shipped_as(candidate),
        inputs=served.inputs,
        outputs=served.outputs,
        model_inputs=candidate.model.inputs,
        model_outputs=candidate.model.outputs,
        preprocessing=candidate.preprocessing,
        labels=_labels(labels or dataset.labels, output),
        threads=candidate.latency.threads,
        budget=budget,
        golden=golden,
        sketch_plan=plan_sketch(served.inputs, (dataset.calibration, dataset.holdout), output, columns=dataset.columns),
        measurements=measurements(candidate),
        lineage=lineage_of(candidate, dataset),
    )
    members = _members(served, candidate, dataset.holdout.take(picked))
    return _checked(manifest, members)


def _check_fit(candidate: Candidate, dataset: Dataset, version: str) -> None:
    """Raise PackingError where the candidate can't be shipped, or version or data are not for it."""
    _shipped_as(candidate)
    try:
        release_id(parse_model_name(candidate.model.name), version)
    except ContractError as error:
        raise PackingError(str(error)) from error
    for split, rows in (("calibration", dataset.calibration), ("holdout", dataset.holdout)):
        found = tuple(misfits(split, rows, candidate.inputs))
        if found:
            raise PackingError(f"the data do not fit {candidate.model.name}: {'; '.join(found)}")


def _shipped_as(candidate: Candidate) -> ModelFormat:
    kind = candidate.model.format.shipped_as
    if candidate.verdict is Verdict.UNFIT or kind is None:
        reason = candidate.reason or "no device runs a torch program"
        raise PackingError(f"{candidate.label} can't be shipped: {reason}; choose another candidate")
    return kind


def _labels(labels: Sequence[str], output: OutputReference) -> tuple[str, ...]:
    if labels and output.class_counts and len(labels) != len(output.class_counts):
        raise PackingError(f"{len(labels)} labels for {len(output.class_counts)} classes; give one for each, in order")
    return tuple(labels)


def _served(candidate: Candidate, dataset: Dataset) -> Served:
    """Return the candidate running behind its steps, with what clients send and get."""
    return Served(
        model=candidate.model,
        session=open_session(candidate.model, threads=candidate.latency.threads),
        inputs=tuple(_as_sent(spec, dataset.holdout.forms[spec.name].dtype) for spec in candidate.inputs),
        outputs=tuple(_as_answered(spec) for spec in candidate.outputs),
        steps=candidate.preprocessing,
    )


def _as_sent(spec: TensorSpec, dtype: np.dtype[np.generic]) -> TensorSpec:
    """Return the served input: the data's own element type where the protocol has it, else float32."""
    element = _ELEMENTS.get(dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype, ElementType.FP32)
    return _any_batch(dataclasses.replace(spec, element=element, quantization=None))


def _as_answered(spec: TensorSpec) -> TensorSpec:
    """Return the served output: real values, float32, whatever the file's own type."""
    return _any_batch(dataclasses.replace(spec, element=ElementType.FP32, quantization=None))


def _any_batch(spec: TensorSpec) -> TensorSpec:
    return dataclasses.replace(spec, shape=(-1, *spec.shape[1:]))


def _output(candidate: Candidate, answers: Mapping[str, NDArray[np.float32]]) -> OutputReference:
    first = next(iter(answers.values()))
    if not candidate.fidelity.of_classes or not ranks(first):
        return OutputReference(class_counts=(), confidence_counts=())
    return output_reference(first)


def _members(served: Served, candidate: Candidate, rows: Mapping[str, NDArray[np.generic]]) -> dict[str, bytes]:
    answers = answers_of(served, rows)
    inputs = {
        f"golden/input/{spec.name}": rows[spec.name].astype(DTYPES[spec.element]).tobytes() for spec in served.inputs
    }
    outputs = {f"golden/output/{spec.name}": answers[spec.name].astype("<f4").tobytes() for spec in served.outputs}
    return {"model": candidate.model.content, **inputs, **outputs}


def _checked(manifest: ArtifactManifest, members: Mapping[str, bytes]) -> bytes:
    """Return the artifact's bytes after reading them back and rerunning the golden rows."""
    try:
        content = write_artifact(manifest, members)
        artifact = read_artifact(content)
    except ContractError as error:
        raise PackingError(
            f"{manifest.model}: the artifact can't be written: {error}; choose another candidate"
        ) from error
    verify_packed(artifact)
    return content
