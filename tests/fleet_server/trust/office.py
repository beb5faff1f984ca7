"""Several people's keys and what they sign, made with python-tuf alone: a model repository and a director's root."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, TargetFile, Targets

from contracts.artifact import read_artifact
from contracts.chunks import cut
from contracts.codec import encode, to_plain
from contracts.ids import digest_of, release_id
from contracts.metadata import RepositoryName
from contracts.release import FLOORS_FIELD, TargetCustom, target_path
from signing.keys import PublicKey, tuf_key
from tests.fakes.clock import START

MODELS, DIRECTOR = RepositoryName.MODELS, RepositoryName.DIRECTOR
ONLINE = {MODELS: ("snapshot", "timestamp"), DIRECTOR: ("targets", "snapshot", "timestamp")}
EXPIRES = START + timedelta(days=365)
TOP = "targets"


class Office:
    """Three root keys of each repository and three targets keys, two of which must sign."""

    def __init__(self, *, online: PublicKey, director: PublicKey) -> None:
        self.online = {MODELS: online, DIRECTOR: director}
        self.signers: dict[str, list[CryptoSigner]] = {
            name: [CryptoSigner.generate_ed25519() for _ in range(3)] for name in ("root", "director-root", TOP)
        }
        self.root_metadata = {repository: self._first_root(repository) for repository in RepositoryName}
        self.files: dict[str, Targets] = {TOP: nothing_yet()}

    @property
    def roots(self) -> dict[RepositoryName, str]:
        """The newest root of each repository, signed by two."""
        return {repository: self.sign_root(repository) for repository in RepositoryName}

    def sign_root(self, repository: RepositoryName, *signers: CryptoSigner) -> str:
        """Return the root as it is now, signed by these (two of its own keys where none are given)."""
        name = "root" if repository is MODELS else "director-root"
        return signed(self.root_metadata[repository], signers or self.signers[name][:2])

    def next_root(self, repository: RepositoryName) -> str:
        """Return the next version of the repository's root as it is now, signed by two."""
        self.root_metadata[repository].version += 1
        return self.sign_root(repository)

    def name_server_key(self, repository: RepositoryName, key: PublicKey) -> None:
        """Let the root name that key of the server's instead of the one before."""
        root = self.root_metadata[repository]
        for role in ONLINE[repository]:
            root.revoke_key(root.roles[role].keyids[0], role)
            root.add_key(tuf_key(key), role)

    def delegate(self, team: str, *patterns: str, threshold: int = 1, terminating: bool = True) -> None:
        """Let top targets name two new keys for the team, and its path patterns."""
        top = self.files[TOP]
        top.delegations = top.delegations or Delegations(keys={}, roles={})
        assert top.delegations.roles is not None
        top.delegations.roles[team] = DelegatedRole(team, [], threshold, terminating, list(patterns))
        self.signers[team] = [CryptoSigner.generate_ed25519() for _ in range(2)]
        for signer in self.signers[team]:
            top.add_key(signer.public_key, team)
        self.files.setdefault(team, nothing_yet())

    def put(self, artifact: bytes, *, role: str = TOP, **custom: object) -> str:
        """Put the artifact into the role's file, and return its path; ``custom`` overrides what is signed."""
        manifest, index = read_artifact(artifact).manifest, encode(cut(artifact))
        stated = TargetCustom(
            release=release_id(manifest.model, manifest.version),
            counter=manifest.counter,
            profile=manifest.profile,
            index=digest_of(index),
            index_length=len(index),
            min_agent_version=manifest.min_agent_version,
            runtime="onnx",
        )
        path = target_path(manifest.model, manifest.version, manifest.profile)
        plain = to_plain(stated)
        assert isinstance(plain, dict)
        self.files[role].targets[path] = TargetFile(
            length=len(artifact),
            hashes={"sha256": digest_of(artifact)},
            path=path,
            unrecognized_fields={"custom": {**plain, **custom}},
        )
        return path

    def unlist(self, path: str, *, role: str = TOP) -> None:
        """Take the path out of the role's file."""
        del self.files[role].targets[path]

    def floor(self, role: str = TOP, **floors: object) -> None:
        """Let the role's file state these floors."""
        self.files[role].unrecognized_fields[FLOORS_FIELD] = floors

    def sign(self, role: str = TOP, *signers: CryptoSigner) -> str:
        """Return the next version of the role's file, signed by these (the first two of its keys)."""
        self.files[role].version += 1
        return signed(self.files[role], signers or self.signers[role][:2])

    def _first_root(self, repository: RepositoryName) -> Root:
        root = Root(expires=EXPIRES, consistent_snapshot=False)
        offline = {"root": "root", TOP: TOP} if repository is MODELS else {"root": "director-root"}
        for role, name in offline.items():
            for signer in self.signers[name]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = 2
        for role in ONLINE[repository]:
            root.add_key(tuf_key(self.online[repository]), role)
        return root


def nothing_yet() -> Targets:
    """Return targets that list nothing; signing makes them version 1."""
    targets = Targets(expires=EXPIRES)
    targets.version = 0
    return targets


def signed(content: Root | Targets, signers: Sequence[CryptoSigner]) -> str:
    """Return the text of the content with these signatures."""
    metadata: Metadata[Root | Targets] = Metadata(content)  # type: ignore[type-var]  # either of the two
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes().decode()


def an_office() -> Office:
    """Return an office whose server's keys nobody has."""
    online, director = (public(CryptoSigner.generate_ed25519()) for _ in range(2))
    return Office(online=online, director=director)


def public(signer: CryptoSigner) -> PublicKey:
    """Return the signer's public half."""
    key = signer.public_key
    return PublicKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, public=str(key.keyval["public"]))
