"""Taking a submission in: verified at the door, cut into the vault, then written down and signed for.

Nothing is written to the database before everything was verified and lies on disk; a publish that
stops half way leaves nothing but chunks that nobody names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from contracts.ids import ReleaseId, TenantId
from contracts.metadata import MetadataName, RepositoryName
from fleet_server.database.session import reading, transaction
from fleet_server.errors import AlreadyExists, ReleaseRefused, TrustMissing
from fleet_server.people.store import record_act
from fleet_server.releases import door, standing, store
from fleet_server.releases.online_roles import sign_online_roles
from fleet_server.trust.listing import TOP, read_listing
from fleet_server.trust.roots import check_apart, check_root_usable, follow_roots, read_first_root

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session
    from tuf.api.metadata import Root

    from fleet_server.releases.vault import Vault
    from fleet_server.trust.keys import KeyRing
    from fleet_server.trust.listing import Listed, Listing

ROOT_ROLES: Mapping[RepositoryName, str] = {
    RepositoryName.MODELS: MetadataName.ROOT.value,
    RepositoryName.DIRECTOR: store.DIRECTOR_ROOT,
}
FIRST_STEP = "run 'edgeship server trust --data DIR ROOT_JSON DIRECTOR_ROOT_JSON'"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Signed metadata, as text: each new root of both repositories, in order, top targets, and teams by name.

    Files that are published already may be sent again.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    roots: list[str] = field(default_factory=list)
    targets: str = ""
    teams: dict[str, str] = field(default_factory=dict)
    director_roots: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a submission did: releases that are new or got a new artifact, and releases that it revoked."""

    fresh: tuple[ReleaseId, ...]
    revoked: tuple[ReleaseId, ...]

    @property
    def acts(self) -> Mapping[ReleaseId, str]:
        """What was done to each release, as the audit names it."""
        return dict.fromkeys(self.fresh, "release.publish") | dict.fromkeys(self.revoked, "release.revoke")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """What was verified, before it is written down; ``seen`` is what it was verified against."""

    seen: Mapping[str, int]
    roots: tuple[tuple[str, int, str], ...]
    listing: Listing
    news: tuple[tuple[Listed, bytes], ...]


def trust_roots(
    session: Session,
    tenant: TenantId,
    texts: Mapping[RepositoryName, str],
    *,
    rings: Mapping[RepositoryName, KeyRing],
    now: datetime,
) -> Mapping[RepositoryName, int]:
    """Trust the roots that the operator gives, and return their versions; the same ones again change nothing.

    Raises:
        ReleaseRefused: one does not verify, or another one is trusted already.
    """
    read = {
        repository: read_first_root(text, repository, keyids=rings[repository].keyids, now=now)
        for repository, text in texts.items()
    }
    check_apart(read[RepositoryName.MODELS], read[RepositoryName.DIRECTOR])
    for repository, text in texts.items():
        role, root = ROOT_ROLES[repository], read[repository]
        known = store.newest_document(session, tenant, role)
        if known is None:
            store.put_document(session, tenant, role, version=root.version, text=text, now=now)
        elif known.text != text:
            raise ReleaseRefused(
                f"{repository} root version {known.version} is trusted already; "
                "later roots come with 'edgeship release publish'"
            )
    return {repository: root.version for repository, root in read.items()}


def publish(
    engine: Engine,
    tenant: TenantId,
    submission: Submission,
    *,
    vault: Vault,
    rings: Mapping[RepositoryName, KeyRing],
    actor: str,
    now: datetime,
) -> Published:
    """Publish what the metadata say and return what that changed; the audit says that ``actor`` did it.

    Raises:
        TrustMissing: the operator has not said which roots to trust.
        ReleaseRefused: a signature, a version, a path, a floor or a counter does not hold.
        BytesMissing: an artifact or index that the metadata name was not uploaded.
        BytesDiffer: uploaded bytes are not what was signed.
    """
    with reading(engine) as session:
        admitted = _verify(session, tenant, submission, vault=vault, rings=rings, now=now)
    for entry, _ in admitted.news:
        with reading(engine) as session:
            index = door.read_index(store.find_index(session, tenant, entry.artifact.custom.index))
        vault.cut(index)
    with transaction(engine) as session:
        store.lock_tenant(session, tenant)
        if _versions(session, tenant) != admitted.seen:
            raise AlreadyExists("somebody else published meanwhile; publish again")
        revoked = _write(session, tenant, admitted, now=now)
        if admitted.listing.fresh or admitted.roots:
            sign_online_roles(session, tenant, rings[RepositoryName.MODELS], now)
        done = Published(
            fresh=tuple(dict.fromkeys(entry.artifact.custom.release for entry, _ in admitted.news)), revoked=revoked
        )
        for release, action in done.acts.items():
            record_act(session, tenant, actor=actor, action=action, thing=release, now=now)
    for entry, _ in admitted.news:
        vault.drop_artifact(entry.artifact.digest)
    return done


def _verify(
    session: Session,
    tenant: TenantId,
    submission: Submission,
    *,
    vault: Vault,
    rings: Mapping[RepositoryName, KeyRing],
    now: datetime,
) -> _Admitted:
    offered_roots = {RepositoryName.MODELS: submission.roots, RepositoryName.DIRECTOR: submission.director_roots}
    roots, new_roots = {}, []
    for repository, texts in offered_roots.items():
        root, followed = _follow(session, tenant, repository, texts)
        if followed or repository is RepositoryName.MODELS:  # the director's expiry must not stop a revocation
            check_root_usable(root, repository, keyids=rings[repository].keyids, now=now)
        roots[repository] = root
        first = root.version - len(followed) + 1
        new_roots += [(ROOT_ROLES[repository], version, text) for version, text in enumerate(followed, start=first)]
    check_apart(roots[RepositoryName.MODELS], roots[RepositoryName.DIRECTOR])
    offered = ({TOP: submission.targets} if submission.targets else {}) | submission.teams
    known = {name: row.text for name, row in store.newest_listing(session, tenant).items()}
    listing = read_listing(roots[RepositoryName.MODELS], offered, known, now=now)
    counters = store.newest_counters(session, tenant)
    news = door.check_news(listing.listed, store.published_artifacts(session, tenant), counters)
    door.check_floors(listing.floors, listing.listed, counters)
    return _Admitted(
        seen=_versions(session, tenant),
        roots=tuple(new_roots),
        listing=listing,
        news=tuple((entry, _check_bytes(session, tenant, entry, vault)) for entry in news),
    )


def _follow(
    session: Session, tenant: TenantId, repository: RepositoryName, texts: Sequence[str]
) -> tuple[Root, tuple[str, ...]]:
    trusted = store.newest_document(session, tenant, ROOT_ROLES[repository])
    if trusted is None:
        raise TrustMissing(f"this server trusts no {repository} root yet; {FIRST_STEP}")
    return follow_roots(trusted.text, texts)


def _check_bytes(session: Session, tenant: TenantId, entry: Listed, vault: Vault) -> bytes:
    index = store.find_index(session, tenant, entry.artifact.custom.index)
    head, length = vault.artifact_head(entry.artifact.digest)
    _, header = door.check_artifact(entry.artifact, index=index, head=head, length=length)
    return header


def _versions(session: Session, tenant: TenantId) -> Mapping[str, int]:
    """Return the newest version of everything that people sign: what a verdict was based on."""
    versions = {name: row.version for name, row in store.newest_listing(session, tenant).items()}
    for role in ROOT_ROLES.values():
        row = store.newest_document(session, tenant, role)
        versions[f"{role}/"] = row.version if row else 0
    return versions


def _write(session: Session, tenant: TenantId, admitted: _Admitted, *, now: datetime) -> tuple[ReleaseId, ...]:
    for role, version, text in admitted.roots:
        store.put_document(session, tenant, role, version=version, text=text, now=now)
    listing = admitted.listing
    for name, (version, text) in listing.fresh.items():
        role = store.team_role("" if name == TOP else name)
        store.put_document(session, tenant, role, version=version, text=text, now=now)
    for entry, header in admitted.news:
        fresh = listing.fresh.get(entry.role)
        version = fresh[0] if fresh else admitted.seen[entry.role]
        store.add_artifact(session, tenant, entry, header=header, targets_version=version, now=now)
    return standing.take_in_listing(session, tenant, listing, now)
