"""One TUF repository made in a test: real metadata, real keys, files kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp

from contracts.metadata import MetadataName
from tests.fakes.clock import START

ROLES = ("root", "targets", "snapshot", "timestamp")
FAR = timedelta(days=36_500)


class TufFiles:
    """Keys by role, the root, and every file ever signed by (role, version)."""

    def __init__(self, *, expires: datetime | None = None, shared: Sequence[str] = ("snapshot", "timestamp")) -> None:
        """Make one key for each role; the ``shared`` roles have one in common."""
        self.expires = expires or START + FAR
        self.root_expires = START + FAR
        online = CryptoSigner.generate_ed25519()
        self.signers = {role: [online if role in shared else CryptoSigner.generate_ed25519()] for role in ROLES}
        self.files: dict[tuple[str, int], bytes] = {}
        self.shared = tuple(shared)
        self._root = Root(expires=self.root_expires, consistent_snapshot=False)
        for role in ROLES:
            self._root.add_key(self.signers[role][0].public_key, role)
        self.sign_root(self.signers["root"])

    @property
    def root(self) -> bytes:
        """The first root: what a device is built with."""
        return self.files[MetadataName.ROOT, 1]

    def newest(self, role: str) -> int:
        """Return the newest version of that role's file; 0 where there is none."""
        return max((version for name, version in self.files if name == role), default=0)

    def write(self, role: str, signed: Signed, signers: Sequence[CryptoSigner] | None = None) -> None:
        """Sign the metadata with the role's keys, or those given, and keep the file."""
        self.files[role, signed.version] = signed_bytes(signed, signers or self.signers[role])

    def rewrite(
        self, role: str, change: Callable[[Any], object], *, signers: Sequence[CryptoSigner] | None = None
    ) -> None:
        """Change what the role's newest file says and sign it anew, in its place or as the version it then has."""
        signed = Metadata.from_bytes(self.files[role, self.newest(role)]).signed
        change(signed)
        self.write(role, signed, signers)

    def lose_key(self, role: str) -> None:
        """Let a stranger's key sign for the role from now on; the root does not name it."""
        self.signers[role] = [CryptoSigner.generate_ed25519()]

    def demand(self, role: str, *, keys: int, threshold: int) -> None:
        """Give the role so many keys, of which so many must sign, by a new root."""
        before = list(self.signers["root"])
        while len(self.signers[role]) < keys:
            self.signers[role].append(CryptoSigner.generate_ed25519())
            self._root.add_key(self.signers[role][-1].public_key, role)
        self._root.roles[role].threshold = threshold
        self._next_root([*before, *self.signers["root"]])

    def rotate(self, *roles: str) -> None:
        """Make new keys for the roles, and a new root that names them; the old root keys sign it too, as they must."""
        before = list(self.signers["root"])
        fresh = CryptoSigner.generate_ed25519()
        for role in roles:
            signer = fresh if role in self.shared else CryptoSigner.generate_ed25519()
            for old in list(self._root.roles[role].keyids):
                self._root.revoke_key(old, role)
            self._root.add_key(signer.public_key, role)
            self._root.roles[role].threshold = 1
            self.signers[role] = [signer]
        self._next_root([*before, *self.signers["root"]])

    def rotate_root(self, *, signed_by_old: bool = True, signed_by_new: bool = True, skip: int = 0) -> None:
        """Replace the root key; by default both sign the new root. ``skip`` leaves versions out."""
        old = list(self.signers["root"])
        self.rotate("root")
        new = self.signers["root"]
        del self.files["root", self._root.version]
        self._root.version += skip
        self.sign_root([*(old if signed_by_old else ()), *(new if signed_by_new else ())])

    def sign_root(self, signers: Sequence[CryptoSigner]) -> None:
        """Sign the root as it is now."""
        self._root.expires = self.root_expires
        self.write("root", self._root, signers)

    def _next_root(self, signers: Sequence[CryptoSigner]) -> None:
        self._root.version += 1
        self.sign_root(signers)

    def _write_snapshot(self, version: int, targets: Mapping[str, int]) -> None:
        meta = {f"{role}.json": MetaFile(stated) for role, stated in targets.items()}
        self.write("snapshot", Snapshot(expires=self.expires, version=version, meta=meta))

    def _write_timestamp(self, version: int, *, snapshot: int, fields: Mapping[str, Any] | None = None) -> None:
        meta = MetaFile(snapshot)
        timestamp = Timestamp(
            expires=self.expires, version=version, snapshot_meta=meta, unrecognized_fields=dict(fields or {})
        )
        self.write("timestamp", timestamp)


def signed_bytes(signed: Signed, signers: Sequence[CryptoSigner]) -> bytes:
    """Return the file of the metadata, signed by each of them."""
    metadata: Metadata[Targets] = Metadata(signed)  # type: ignore[arg-type]  # of any role
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()
