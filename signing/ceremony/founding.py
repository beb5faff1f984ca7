"""The first roots: which keys hold which role, how many of them must sign, and the server's two keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signing.ceremony.gathering import Proposal, sign
from signing.ceremony.roles import check_one_role_each, check_threshold
from signing.errors import KeyRefused, RepositoryExists, WrongKey
from signing.keys import KeyRole, held_keys, tuf_key
from signing.metadata import whole_seconds
from signing.places import NAMED_BY_ROOT, ROOTS, Place

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from securesystemslib.signer import Signer
    from tuf.api.metadata import Metadata, Root

    from signing.keys import PublicKey
    from signing.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """The keys of each role of the first roots. ``thresholds`` are 1 where a role is not named.

    Raises:
        KeyRefused: a role without a key, more signatures than keys, or a key in two roles.
    """

    keys: Mapping[str, tuple[PublicKey, ...]]
    thresholds: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in NAMED_BY_ROOT:
            count, threshold = len(self.keys.get(role, ())), self.thresholds.get(role, 1)
            check_threshold(role, threshold, count)
        check_one_role_each(self.keys)

    @classmethod
    def by_one(cls, keys: Path, *, online: PublicKey, director: PublicKey) -> Founding:
        """Return the founding by one person whose folder holds a key of each offline role."""
        held = held_keys(keys)
        for role in KeyRole:
            if role not in held:
                raise KeyRefused(f"{keys} holds no {role} key; make one with 'edgeship keys init {keys} --role {role}'")
        return cls(keys={**{role: (held[role],) for role in KeyRole}, "online": (online,), "director": (director,)})

    @property
    def root_keyids(self) -> frozenset[str]:
        """The keys that sign the first roots."""
        return frozenset(key.keyid for role in (KeyRole.ROOT, KeyRole.DIRECTOR_ROOT) for key in self.keys[role])


def found(
    repository: Repository, founding: Founding, *, signers: Mapping[str, Signer], now: datetime, lifetime: timedelta
) -> Repository:
    """Make the repository: its first roots, signed by ``signers`` (by keyid); they wait where that is not enough.

    Raises:
        RepositoryExists: there is one already; nothing was written.
        WrongKey: none of the signers may sign a root.
    """
    if repository.exists():
        raise RepositoryExists(f"{repository.folder} is a release repository already; choose another folder")
    if not founding.root_keyids & set(signers):
        raise WrongKey("none of these keys is a root key of the new repository; give the folder of one that is")
    for name in ("metadata", "director", "artifacts", "indexes"):
        (repository.folder / name).mkdir(parents=True, exist_ok=True)
    proposals = []
    for place in reversed(ROOTS):  # that of the models last: by it a repository is known
        root = _first_root(founding, place, expires=whole_seconds(now) + lifetime)
        keyids = tuple(keyid for keyid in root.signed.roles["root"].keyids if keyid in signers)
        proposals.append(Proposal(place=place, metadata=root, before=None, keyids=keyids))
    sign(repository, proposals, signers)
    return repository


def _first_root(founding: Founding, place: Place, *, expires: datetime) -> Metadata[Root]:
    from tuf.api.metadata import Metadata, Root

    root = Root(version=1, expires=expires, consistent_snapshot=False)
    for role, (named_by, tuf_roles) in NAMED_BY_ROOT.items():
        for tuf_role in tuf_roles if named_by == place else ():
            for key in founding.keys[role]:
                root.add_key(tuf_key(key), tuf_role)
            root.roles[tuf_role].threshold = founding.thresholds.get(role, 1)
    return Metadata(root)
