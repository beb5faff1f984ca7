"""From a candidate to the bytes of its artifact: model, tensors, golden rows, sketch plan, measurements, lineage.

What is packed is checked before it is handed out: the finished artifact is read back and must
reproduce its own golden answers on this machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from contracts.artifact import MODEL_MEMBER, Artifact, Document, Side, read_artifact, write_artifact
from contracts.artifact.api import description
from contracts.artifact.card import Statement, write_card
from contracts.artifact.documents import write_json
from contracts.artifact.names import golden_name
from contracts.errors import ContractError, TensorError
from contracts.ids import ProfileName, parse_model_name, release_id
from contracts.manifest import ArtifactManifest, Budget, Commit, Lineage, ModelFormat
from contracts.postprocessing import AnswerStep, answered_spec, before_choice
from contracts.preprocessing import DTYPES
from contracts.sketch import OutputReference
from contracts.tensors import ElementType, TensorSpec
from optimizer.data.dataset import Dataset, misfits
from optimizer.errors import PackingError
from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.packing.bill import bill_of
from optimizer.packing.card import card_of
from optimizer.packing.golden import answers_of, choose_golden, postprocessed, ranks, verify_packed
from optimizer.packing.lineage import lineage_of, measurements
from optimizer.packing.sketch_plan import output_reference, plan_sketch
from optimizer.pass_ import Pass
from optimizer.search.candidate import Candidate, Verdict
from optimizer.served import Served

if TYPE_CHECKING:
    from numpy.typing import NDArray


GOLDEN_ROWS = 32

_ELEMENTS = {dtype: element for element, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to make an artifact of.

    Attributes:
        candidate: the one to ship, most often ``search.winner``.
        version: of the model, as in ``1.2.0``.
        counter: of the release; only grows.
        profile: of the devices that it is for.
        dataset: what the search ran on: golden rows and the reference of the sketch are taken from it.
        budget: what the device may spend.
        labels: names of the classes; by default those in the data.
        golden_rows: how many holdout rows to keep with their answers.
        postprocessing: steps between the model's answers and the client.
        statement: what its owners say of it.
        commit: of the folder in which the work is kept.
        original: the user's model, for the card.
        steps: the passes that made it, so that the lineage spells each parameter.
    """

    candidate: Candidate
    version: str
    counter: int
    profile: ProfileName
    dataset: Dataset
    budget: Budget
    labels: Sequence[str] = ()
    golden_rows: int = GOLDEN_ROWS
    postprocessing: tuple[AnswerStep, ...] = ()
    statement: Statement = field(default_factory=Statement)
    commit: Commit | None = None
    original: Model | None = None
    steps: tuple[Pass, ...] = ()


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
    """Return the artifact of the candidate for the profile, with no card but the optimizer's; see ``pack_order``.

    Raises:
        PackingError: as ``pack_order``.
    """
    return pack_order(
        Order(
            candidate=candidate,
            version=version,
            counter=counter,
            profile=profile,
            dataset=dataset,
            budget=budget,
            labels=labels,
            golden_rows=golden_rows,
        )
    )


def pack_order(order: Order) -> bytes:
    """Return the artifact of the order; it reproduces its golden answers here.

    Raises:
        PackingError: the target can't run the candidate, the data, the labels, the postprocessing or the version do not
            fit it, or this machine can't reproduce its answers.
    """
    candidate, dataset = order.candidate, order.dataset
    _check_fit(candidate, dataset, order.version)
    served = _served(candidate, dataset)
    answers = answers_of(served, dataset.holdout)
    golden, picked = choose_golden(
        served, dataset.holdout, answers=answers, wanted=order.golden_rows, steps=order.postprocessing
    )
    output = _output(order, answers)
    try:
        manifest = ArtifactManifest(
            model=parse_model_name(candidate.model.name),
            version=order.version,
            counter=order.counter,
            profile=order.profile,
            format=_shipped_as(candidate),
            inputs=served.inputs,
            outputs=tuple(answered_spec(order.postprocessing, spec) for spec in served.outputs),
            model_inputs=candidate.model.inputs,
            model_outputs=candidate.model.outputs,
            preprocessing=candidate.preprocessing,
            postprocessing=order.postprocessing,
            labels=_labels(order.labels or dataset.labels, output),
            threads=candidate.latency.threads,
            budget=order.budget,
            golden=golden,
            sketch_plan=plan_sketch(
                served.inputs, (dataset.calibration, dataset.holdout), output, columns=dataset.columns
            ),
            measurements=measurements(candidate),
            lineage=_lineage(order),
        )
    except ValueError as error:
        raise PackingError(f"{candidate.model.name} can't be packed: {error}") from error
    return _checked(manifest, {**_members(served, manifest, order, picked), **_documents(order, manifest)})


def _lineage(order: Order) -> Lineage:
    return lineage_of(
        order.candidate,
        order.dataset,
        data_version=order.statement.evaluation_data.version,
        commit=order.commit,
        steps=order.steps,
    )


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


def _output(order: Order, answers: Mapping[str, NDArray[np.float32]]) -> OutputReference:
    """Return how the first output's classes are distributed, as clients see them but for a choice at the end."""
    name, first = next(iter(answers.items()))
    try:
        seen = before_choice(order.postprocessing, name, first)
    except TensorError as error:
        raise PackingError(f"postprocessing {error}; give steps that fit the model's output") from error
    if not order.candidate.fidelity.of_classes or not ranks(seen):
        return OutputReference(class_counts=(), confidence_counts=())
    return output_reference(seen.astype(np.float32, copy=False))


def _members(served: Served, manifest: ArtifactManifest, order: Order, picked: NDArray[np.int64]) -> dict[str, bytes]:
    rows = order.dataset.holdout.take(picked)
    answers = postprocessed(order.postprocessing, answers_of(served, rows))
    inputs = {
        golden_name(Side.INPUT, place): rows[spec.name].astype(DTYPES[spec.element]).tobytes()
        for place, spec in enumerate(manifest.inputs)
    }
    outputs = {
        golden_name(Side.OUTPUT, place): answers[spec.name].astype(DTYPES[spec.element]).tobytes()
        for place, spec in enumerate(manifest.outputs)
    }
    return {MODEL_MEMBER: order.candidate.model.content, **inputs, **outputs}


def _documents(order: Order, manifest: ArtifactManifest) -> dict[str, bytes]:
    """Return the members for people; the description of the API is added once the golden rows are in."""
    card = card_of(order.candidate, manifest, order.statement, original=order.original)
    try:
        bill = bill_of(manifest, card, model=order.candidate.model.digest)
        return {Document.CARD: write_card(card), Document.BILL: bill}
    except ContractError as error:
        raise PackingError(f"{manifest.model}: {error}") from error


def _checked(manifest: ArtifactManifest, members: Mapping[str, bytes]) -> bytes:
    """Return the artifact's bytes after reading them back and rerunning the golden rows."""
    try:
        described = description(Artifact(manifest=manifest, members=members))
        content = write_artifact(manifest, {**members, Document.API: write_json(described)})
        artifact = read_artifact(content)
    except ContractError as error:
        raise PackingError(
            f"{manifest.model}: the artifact can't be written: {error}; choose another candidate"
        ) from error
    verify_packed(artifact)
    return content
