"""The chain of roots, the same rules for both repositories: each is signed by the one before it and by itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from contracts.metadata import RepositoryName
from fleet_server.errors import ReleaseRefused
from fleet_server.trust.signed_file import read_root, verify

if TYPE_CHECKING:
    from tuf.api.metadata import Root

SERVERS_ROLES: Mapping[RepositoryName, tuple[str, ...]] = MappingProxyType(
    {
        RepositoryName.MODELS: ("snapshot", "timestamp"),
        RepositoryName.DIRECTOR: ("targets", "snapshot", "timestamp"),
    }
)
"""What the server signs itself; every other role is for people's keys alone."""
PUBLIC_FILES: Mapping[RepositoryName, str] = MappingProxyType(
    {RepositoryName.MODELS: "online.pub.json", RepositoryName.DIRECTOR: "director.pub.json"}
)


def read_first_root(text: str, repository: RepositoryName, *, keyids: Collection[str], now: datetime) -> Root:
    """Return the root that an operator says to trust.

    Raises:
        ReleaseRefused: not a root, not signed by its own keys, expired, or made for another server.
    """
    metadata = read_root(text)
    verify(metadata.signed, "root", metadata, refusal="root does not carry enough valid signatures of its own keys")
    check_root_usable(metadata.signed, repository, keyids=keyids, now=now)
    return metadata.signed


def follow_roots(trusted: str, offered: Sequence[str]) -> tuple[Root, tuple[str, ...]]:
    """Return the newest root and the texts that are new, each verified by the one before it.

    Roots up to the trusted version may be offered again; they are passed over.

    Raises:
        ReleaseRefused: a version is missing, or a root is not signed by its predecessor and itself.
    """
    current = read_root(trusted).signed
    news: list[str] = []
    for text in offered:
        metadata = read_root(text)
        root = metadata.signed
        if root.version <= current.version:
            continue
        if root.version != current.version + 1:
            raise ReleaseRefused(
                f"root version {root.version} does not follow {current.version}; send every version in between"
            )
        what = f"root version {root.version}"
        verify(current, "root", metadata, refusal=f"{what} is not signed by version {current.version}")
        verify(root, "root", metadata, refusal=f"{what} is not signed by its own keys")
        current = root
        news.append(text)
    return current, tuple(news)


def check_root_usable(root: Root, repository: RepositoryName, *, keyids: Collection[str], now: datetime) -> None:
    """Accept a root that is in force and gives this server's keys what is theirs to sign, and nothing else.

    Raises:
        ReleaseRefused: expired, or it names other keys, or several for what one key signs.
    """
    what = f"{repository} root version {root.version}"
    if root.is_expired(now):
        raise ReleaseRefused(f"{what} expired at {root.expires}; sign a new one")
    for name, role in root.roles.items():
        ours = [keyid for keyid in role.keyids if keyid in keyids]
        if name not in SERVERS_ROLES[repository]:
            if ours:
                raise ReleaseRefused(f"{what} names this server's key for {name}; that role is for offline keys alone")
        elif len(role.keyids) != 1 or role.threshold != 1 or not ours:
            wanted = ", ".join(sorted(keyid[:16] for keyid in keyids))
            raise ReleaseRefused(
                f"{what} does not name this server's key {wanted} for {name}; "
                f"make the repository with this server's {PUBLIC_FILES[repository]}"
            )
    named = {keyid for name in SERVERS_ROLES[repository] for keyid in root.roles[name].keyids}
    if len(named) > 1:
        raise ReleaseRefused(
            f"{what} names different keys of this server for {', '.join(SERVERS_ROLES[repository])}, which one key "
            "signs; name the newest of them for each"
        )


def check_apart(models: Root, director: Root) -> None:
    """Accept two roots that have no key in common: whoever holds one repository's keys does not hold the other's.

    Raises:
        ReleaseRefused: one key stands in both.
    """
    for shared in sorted(set(models.keys) & set(director.keys)):  # a key has one id: ``signed_file`` sees to that
        raise ReleaseRefused(
            f"key {shared[:16]} stands in the root of both repositories; make keys of its own for the director"
        )
