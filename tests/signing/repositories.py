"""Small release repositories for tests: real keys, real signatures, artifacts of a few hundred bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from contracts.artifact import write_artifact
from contracts.ids import digest_of, parse_model_name, parse_profile_name
from contracts.manifest import ArtifactManifest, Budget, Golden, Lineage, ModelFormat
from contracts.sketch import OutputReference, SketchPlan
from contracts.tensors import ElementType, TensorSpec
from signing.keys import PublicKey, init_keys
from signing.repository import Repository

PASSPHRASE = "correct horse battery"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """A release engineer's machine: keys, a repository, and (for tests) the server's two keys."""

    keys: Path
    repository: Repository
    online: CryptoSigner
    director: CryptoSigner

    def draft(self, folder: Path, data: bytes) -> None:
        """Draft the artifact bytes."""
        path = folder / f"{digest_of(data)}.artifact"
        path.write_bytes(data)
        self.repository.draft(path)

    def sign(self) -> None:
        """Sign what is drafted."""
        self.repository.sign(self.keys, passphrase=PASSPHRASE, now=NOW)


def a_workshop(folder: Path) -> Workshop:
    """Return a workshop with nothing drafted or signed."""
    keys = folder / "keys"
    online, director = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    init_keys(keys, PASSPHRASE)
    repository = Repository.create(
        folder / "repository",
        keys,
        passphrase=PASSPHRASE,
        online=public_half(online),
        director=public_half(director),
        now=NOW,
    )
    return Workshop(keys=keys, repository=repository, online=online, director=director)


def public_half(signer: CryptoSigner) -> PublicKey:
    """Return the public key of the signer, as ``online.pub.json`` has it."""
    key = signer.public_key
    return PublicKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, public=key.keyval["public"])


def an_artifact(
    *,
    model: str = "digits",
    version: str = "1.0.0",
    counter: int = 1,
    profile: str = "raspberry-pi-4",
    content: bytes = b"model",
) -> bytes:
    """Return the bytes of an artifact that no engine could load, but that is whole."""
    spec = TensorSpec(name="x", element=ElementType.FP32, shape=(-1, 1))
    manifest = ArtifactManifest(
        model=parse_model_name(model),
        version=version,
        counter=counter,
        profile=parse_profile_name(profile),
        format=ModelFormat.ONNX,
        inputs=(spec,),
        outputs=(spec,),
        model_inputs=(spec,),
        model_outputs=(spec,),
        preprocessing=(),
        labels=(),
        threads=1,
        budget=Budget(),
        golden=Golden(rows=1, tolerance=0.0),
        sketch_plan=SketchPlan(features=(), output=OutputReference(class_counts=(), confidence_counts=())),
        measurements=(),
        lineage=Lineage(source=digest_of(b""), data=digest_of(b""), passes=(), code_version="0", tools={}),
    )
    return write_artifact(manifest, {"model": content, "golden/input/0": bytes(4), "golden/output/0": bytes(4)})
