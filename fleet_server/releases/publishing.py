"""Taking a release in: verified at the door, cut into the vault, then written down and signed for.

Nothing is written to the database before everything was verified and lies on disk; a publish that
stops half way leaves nothing but chunks that nobody names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.ids import ReleaseId, TenantId
from contracts.metadata import MetadataName
from fleet_server.database.session import reading, transaction
from fleet_server.errors import AlreadyExists, ReleaseRefused, TrustMissing
from fleet_server.releases import door, store
from fleet_server.releases.online_roles import OnlineKey, sign_online_roles

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session
    from tuf.api.metadata import Root

    from contracts.release import ReleasedArtifact
    from fleet_server.releases.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """What was verified and cut, before it is written down."""

    root: Root
    roots: tuple[str, ...]
    targets_changed: bool
    known_targets_version: int
    artifacts: tuple[tuple[ReleasedArtifact, bytes], ...]


def trust_root(session: Session, tenant: TenantId, text: str, *, online_key: OnlineKey, now: datetime) -> int:
    """Trust the root that the operator gives, and return its version; the same one again changes nothing.

    Raises:
        ReleaseRefused: it does not verify, or another one is trusted already.
    """
    root = door.read_first_root(text, online_keyid=online_key.public.keyid, now=now)
    known = store.newest_document(session, tenant, MetadataName.ROOT)
    if known is not None:
        if store.find_document(session, tenant, MetadataName.ROOT, root.version) is None or known.text != text:
            raise ReleaseRefused(
                f"root version {known.version} is trusted already; later roots come with 'edgeship release publish'"
            )
        return root.version
    store.put_document(session, tenant, MetadataName.ROOT, version=root.version, text=text, now=now)
    return root.version


def publish(
    engine: Engine,
    tenant: TenantId,
    *,
    roots: Sequence[str],
    targets: str,
    vault: Vault,
    online_key: OnlineKey,
    now: datetime,
) -> tuple[ReleaseId, ...]:
    """Publish what the metadata name and return the releases that are new or got a new artifact.

    Raises:
        TrustMissing: the operator has not said which root to trust.
        ReleaseRefused: a signature, a version or a counter does not hold.
        BytesMissing: an artifact or index that the metadata name was not uploaded.
        BytesDiffer: uploaded bytes are not what was signed.
    """
    with reading(engine) as session:
        admitted = _verify(session, tenant, roots, targets, keyid=online_key.public.keyid, now=now, vault=vault)
    for artifact, _ in admitted.artifacts:
        with reading(engine) as session:
            index = door.read_index(store.find_index(session, tenant, artifact.custom.index))
        vault.cut(index)
    with transaction(engine) as session:
        _write(session, tenant, admitted, targets, now=now)
        if admitted.targets_changed or admitted.roots:
            sign_online_roles(session, tenant, online_key, now)
    for artifact, _ in admitted.artifacts:
        vault.drop_artifact(artifact.digest)
    return tuple(dict.fromkeys(artifact.custom.release for artifact, _ in admitted.artifacts))


def _verify(
    session: Session,
    tenant: TenantId,
    roots: Sequence[str],
    targets: str,
    *,
    keyid: str,
    now: datetime,
    vault: Vault,
) -> _Admitted:
    trusted = store.newest_document(session, tenant, MetadataName.ROOT)
    if trusted is None:
        raise TrustMissing("this server trusts no root yet; run 'edgeship server trust --data DIR root.json' on it")
    root, new_roots = door.follow_roots(trusted.text, roots)
    door.check_root_usable(root, online_keyid=keyid, now=now)
    known = store.newest_document(session, tenant, MetadataName.TARGETS)
    named = door.read_targets(targets, root, known=known.text if known else None, now=now)
    news = door.check_counters(
        named or (), store.published_artifacts(session, tenant), store.newest_counters(session, tenant)
    )
    return _Admitted(
        root=root,
        roots=new_roots,
        targets_changed=named is not None,
        known_targets_version=known.version if known else 0,
        artifacts=tuple((artifact, _check_bytes(session, tenant, artifact, vault)) for artifact in news),
    )


def _check_bytes(session: Session, tenant: TenantId, artifact: ReleasedArtifact, vault: Vault) -> bytes:
    index = store.find_index(session, tenant, artifact.custom.index)
    head, length = vault.artifact_head(artifact.digest)
    _, header = door.check_artifact(artifact, index=index, head=head, length=length)
    return header


def _write(session: Session, tenant: TenantId, admitted: _Admitted, targets: str, *, now: datetime) -> None:
    known = store.newest_document(session, tenant, MetadataName.TARGETS)
    if (known.version if known else 0) != admitted.known_targets_version:
        raise AlreadyExists("somebody else published meanwhile; publish again")
    first = admitted.root.version - len(admitted.roots) + 1
    for version, text in enumerate(admitted.roots, start=first):
        store.put_document(session, tenant, MetadataName.ROOT, version=version, text=text, now=now)
    if not admitted.targets_changed:
        return
    version = door.targets_version(targets)
    store.put_document(session, tenant, MetadataName.TARGETS, version=version, text=targets, now=now)
    for artifact, header in admitted.artifacts:
        store.add_artifact(session, tenant, artifact, header=header, targets_version=version, now=now)
