"""Artifacts with everything that schema 2 has, made without a search; ``python -m`` it to write golden files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from contracts.artifact import Artifact, Document, read_artifact, write_artifact
from contracts.artifact.api import description
from contracts.artifact.card import DataStatement, Loss, ModelCard, Statement, write_card
from contracts.artifact.documents import write_json
from contracts.artifact.golden import recorded_rows
from contracts.artifact.names import Side
from contracts.ids import digest_of
from contracts.manifest import Commit, ModelFormat
from contracts.postprocessing import AnswerStep, AnswerStepKind, answered, answered_spec
from contracts.preprocessing import DTYPES
from optimizer.packing.bill import bill_of
from tests.builders import OUTPUT, TinyModel, a_tiny_onnx_artifact, a_tiny_tflite_artifact

GOLDEN = Path(__file__).resolve().parent.parent.parent / "golden"
TINY = TinyModel(features=4, hidden=8)
PER_CENT = (AnswerStep(kind=AnswerStepKind.SCALE, tensor=OUTPUT, factor=(100.0,)),)
IS_SURE = (AnswerStep(kind=AnswerStepKind.THRESHOLD, tensor=OUTPUT, threshold=(0.5,)),)
TOP = (AnswerStep(kind=AnswerStepKind.TOP_CLASS, tensor=OUTPUT),)

STATEMENT = Statement(
    intended_use="Sorting of parcels by the first digit of their code.",
    out_of_scope="Reading cheques.",
    limits=("Never tested on handwriting from outside of Europe.",),
    licence="Apache-2.0",
    owners=("Sorting team <sorting@example.org>",),
    training_data=DataStatement(description="Digits written by clerks.", version="2026-10"),
    evaluation_data=DataStatement(description="Digits of other clerks.", version="2026-11", licence="CC-BY-4.0"),
)


def a_card(*, release: str = "digits@1.0.0") -> ModelCard:
    """Return a card on which everything is said."""
    return ModelCard(
        release=release,
        statement=STATEMENT,
        loss=Loss(metric="accuracy", n=300, original=0.97, value=0.96, drop=0.01, drop_low=-0.004, drop_high=0.024),
        changed=("simplify-onnx[1]()", "quantize-static[3](rows=128)"),
        original_size_bytes=4_000,
        size_bytes=1_200,
        others={"agreement": 0.99},
    )


def a_whole_artifact(
    file_format: ModelFormat = ModelFormat.ONNX, *, steps: tuple[AnswerStep, ...] = PER_CENT, version: str = "1.0.0"
) -> Artifact:
    """Return an artifact with postprocessing, a commit, an environment and every document."""
    make = a_tiny_onnx_artifact if file_format is ModelFormat.ONNX else a_tiny_tflite_artifact
    plain = read_artifact(make(TINY, version=version))
    lineage = replace(
        plain.manifest.lineage,
        data_version="2026-11",
        commit=Commit(revision="1" * 40, dirty=False),
        environment={"python": "CPython 3.11.7", "system": "Linux", "machine": "x86_64"},
        tools={"onnx": "1.23.2", "onnxruntime": "1.31.1"},
    )
    manifest = replace(
        plain.manifest,
        postprocessing=steps,
        outputs=tuple(answered_spec(steps, spec) for spec in plain.manifest.outputs),
        lineage=lineage,
    )
    wanted = answered(steps, OUTPUT, recorded_rows(plain, Side.OUTPUT)[OUTPUT])
    recorded = wanted.astype(DTYPES[manifest.outputs[0].element]).tobytes()
    members = {
        **plain.members,
        "golden/output/0": recorded,
        Document.CARD: write_card(a_card(release=f"digits@{version}")),
        Document.BILL: bill_of(manifest, a_card(release=f"digits@{version}"), model=digest_of(plain.model)),
    }
    whole = Artifact(manifest=manifest, members=members)
    return Artifact(manifest=manifest, members={**members, Document.API: write_json(description(whole))})


def whole_bytes(artifact: Artifact) -> bytes:
    """Return the artifact's file."""
    return write_artifact(artifact.manifest, artifact.members)


def main() -> None:
    """Write the newest schema's golden files, once: a file that is there is never changed."""
    for file_format, steps in ((ModelFormat.ONNX, PER_CENT), (ModelFormat.TFLITE, TOP)):
        with (GOLDEN / f"artifact-2-{file_format}.artifact").open("xb") as file:
            file.write(whole_bytes(a_whole_artifact(file_format, steps=steps)))


if __name__ == "__main__":
    main()
