"""The bill of materials: CycloneDX 1.6, with the model, what it came from, its data and the libraries that touched it.

Every field comes from the manifest and the card, none from a clock, so equal artifacts have equal bills.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from contracts.artifact.documents import write_json
from contracts.ids import Digest, digest_of
from contracts.manifest import ModelFormat

if TYPE_CHECKING:
    from contracts.artifact.card import ModelCard, Statement
    from contracts.manifest import ArtifactManifest
    from contracts.tensors import TensorSpec

_RUNTIMES: Final = {ModelFormat.ONNX: "onnxruntime", ModelFormat.TFLITE: "ai-edge-litert"}
Component = dict[str, Any]


def bill_of(manifest: ArtifactManifest, card: ModelCard, *, model: Digest) -> bytes:
    """Return the bytes of the member ``bom``.

    Args:
        manifest: of the artifact.
        card: its card.
        model: digest of the model file.
    """
    lineage = manifest.lineage
    libraries = [
        _library(name, version, needed=name == _RUNTIMES[manifest.format])
        for name, version in sorted(lineage.tools.items())
    ]
    plain: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "edgeship", "version": lineage.code_version}]},
            "component": _model(manifest, card, model),
            "properties": _properties(manifest),
        },
        "components": [_source(manifest), _data(manifest, card.statement), *libraries],
        "dependencies": [
            {"ref": "model", "dependsOn": ["source", "data", *(library["bom-ref"] for library in libraries)]}
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, digest_of(write_json(plain)))
    return write_json({**plain, "serialNumber": f"urn:uuid:{serial}"})


def _model(manifest: ArtifactManifest, card: ModelCard, model: Digest) -> Component:
    said, loss = card.statement, card.loss
    considerations = {
        "useCases": [said.intended_use] if said.intended_use else [],
        "technicalLimitations": [*said.limits, *([f"Not for: {said.out_of_scope}"] if said.out_of_scope else [])],
    }
    component: Component = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.model,
        "version": manifest.version,
        "description": f"{manifest.format} model for {manifest.profile}",
        "hashes": _hashes(model),
        "licenses": _licences(said.licence),
        "authors": [{"name": owner} for owner in said.owners],
        "pedigree": {"ancestors": [_source(manifest, ref="ancestor")], "notes": " -> ".join(card.changed)},
        "modelCard": {
            "bom-ref": "card",
            "modelParameters": {
                "inputs": [{"format": _form(spec)} for spec in manifest.inputs],
                "outputs": [{"format": _form(spec)} for spec in manifest.outputs],
                "datasets": [{"ref": "data"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    {"type": loss.metric, "value": _number(loss.value)},
                    {
                        "type": f"drop of {loss.metric}",
                        "value": _number(loss.drop),
                        "confidenceInterval": {
                            "lowerBound": _number(loss.drop_low),
                            "upperBound": _number(loss.drop_high),
                        },
                    },
                ]
            },
            "considerations": {key: value for key, value in considerations.items() if value},
        },
    }
    return {key: value for key, value in component.items() if value}


def _source(manifest: ArtifactManifest, *, ref: str = "source") -> Component:
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": f"{manifest.model} as given to the optimizer",
        "hashes": _hashes(manifest.lineage.source),
    }


def _data(manifest: ArtifactManifest, said: Statement) -> Component:
    data, lineage = said.evaluation_data, manifest.lineage
    described = {"type": "dataset", "name": "calibration and holdout rows", "description": data.description}
    component: Component = {
        "type": "data",
        "bom-ref": "data",
        "name": f"data that {manifest.model} was optimized and judged with",
        "version": lineage.data_version,
        "hashes": _hashes(lineage.data),
        "licenses": _licences(data.licence),
        "data": [{key: value for key, value in described.items() if value}],
    }
    return {key: value for key, value in component.items() if value}


def _library(name: str, version: str, *, needed: bool) -> Component:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "scope": "required" if needed else "excluded",
        "purl": purl,
    }


def _properties(manifest: ArtifactManifest) -> list[dict[str, str]]:
    lineage = manifest.lineage
    told: Mapping[str, str] = {
        "profile": manifest.profile,
        "counter": str(manifest.counter),
        **({"commit": lineage.commit.revision, "dirty": str(lineage.commit.dirty).lower()} if lineage.commit else {}),
        **{f"environment:{name}": value for name, value in lineage.environment.items()},
    }
    return [{"name": f"edgeship:{name}", "value": value} for name, value in sorted(told.items())]


def _hashes(digest: Digest) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _licences(words: str) -> list[dict[str, Any]]:
    return [{"license": {"name": words}}] if words else []


def _number(value: float | None) -> str:
    return "unknown" if value is None else repr(value)


def _form(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.element} {list(spec.shape)}"
