"""What can be said of an artifact file from outside: its account as plain values, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from contracts.artifact import Artifact, Document, Side, read_artifact_file
from contracts.artifact.api import description
from contracts.artifact.card import read_card
from contracts.artifact.documents import read_json, write_json
from contracts.artifact.golden import recorded_rows
from contracts.codec import Plain, to_plain
from contracts.errors import ArtifactError
from contracts.ids import digest_of
from optimizer.packing.golden import verify_packed


def account_of(artifact: Artifact) -> Plain:
    """Return the manifest and the list of members."""
    members: list[Plain] = [
        {"name": name, "length": len(data), "digest": digest_of(data)} for name, data in artifact.members.items()
    ]
    return {"manifest": to_plain(artifact.manifest), "members": members}


def golden_of(artifact: Artifact) -> Plain:
    """Return the recorded rows: for each side and tensor the values, row by row.

    Raises:
        TensorError: they do not fit the manifest.
    """
    sides: dict[str, Plain] = {
        side.value: {name: cast("Plain", rows.tolist()) for name, rows in recorded_rows(artifact, side).items()}
        for side in Side
    }
    return {"rows": artifact.manifest.golden.rows, "tolerance": artifact.manifest.golden.tolerance, **sides}


def checked(path: Path, *, run: bool) -> dict[str, Plain]:
    """Return what holds, in words by what it is about.

    Args:
        path: the artifact file.
        run: whether to run the model on its recorded inputs, too.

    Raises:
        ArtifactError: the file is no artifact, or a document of it does not agree with the rest.
        TensorError: its recorded rows do not fit its manifest.
        PackingError: the model does not give its recorded answers here.
    """
    artifact = read_artifact_file(path)
    manifest = artifact.manifest
    length = sum(map(len, artifact.members.values()))
    result: dict[str, Plain] = {
        "artifact": f"{manifest.model}@{manifest.version} for {manifest.profile}, schema {manifest.schema}",
        "members": f"{len(artifact.members)} members, {length:,} bytes, every digest holds",
        "documents": _documents(artifact, path),
        "golden": f"{manifest.golden.rows} recorded rows fit the manifest",
    }
    for side in Side:
        recorded_rows(artifact, side)
    if run:
        verified = verify_packed(artifact)
        result["answers"] = (
            f"{verified.rows} rows run here: largest difference {verified.max_difference:.3g} "
            f"(tolerance {manifest.golden.tolerance:.3g}), {verified.disagreements} rows chose otherwise"
        )
    return result


def _documents(artifact: Artifact, path: Path) -> str:
    """Return which documents are there, each read and held against the manifest."""
    held = [document for document in Document if document in artifact.members]
    manifest = artifact.manifest
    if Document.CARD in held:
        card = read_card(artifact.members[Document.CARD])
        if card.release != f"{manifest.model}@{manifest.version}":
            raise ArtifactError(f"{path}: its card is of {card.release[:80]!r}; pack the artifact again")
    if Document.API in held and artifact.members[Document.API] != write_json(description(artifact)):
        raise ArtifactError(f"{path}: its api is not what its manifest and golden rows say; pack the artifact again")
    if Document.BILL in held:
        bill = read_json(artifact.members[Document.BILL])
        if not isinstance(bill, dict) or bill.get("bomFormat") != "CycloneDX":
            raise ArtifactError(f"{path}: its bom is no CycloneDX bill of materials; pack the artifact again")
    return ", ".join(held) if held else "none"
