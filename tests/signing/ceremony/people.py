"""Several people with a key of each role, in memory, and a repository of theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Signer

from contracts.ids import digest_of
from signing.ceremony.founding import Founding, found
from signing.ceremony.gathering import Proposal, propose, sign
from signing.keys import KeyRole, PublicKey
from signing.repository import Repository
from tests.signing.repositories import NOW, public_half

LIFETIME = timedelta(days=90)


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who holds one key of each of their roles."""

    name: str
    signers: Mapping[str, CryptoSigner]

    def public(self, role: str) -> PublicKey:
        """Return the public half of the person's key of that role."""
        return replace(public_half(self.signers[role]), holder=self.name)

    @property
    def by_keyid(self) -> dict[str, Signer]:
        """The person's signers by keyid."""
        return {signer.public_key.keyid: signer for signer in self.signers.values()}

    def looks_at(self, repository: Repository, *, renew: bool = False, now: datetime = NOW) -> tuple[Proposal, ...]:
        """Return what the person is shown before signing."""
        return propose(repository, set(self.by_keyid), now=now, lifetime=LIFETIME, renew=renew)

    def signs(self, repository: Repository, *, renew: bool = False, now: datetime = NOW) -> None:
        """Sign everything that waits and that the person may sign."""
        sign(repository, self.looks_at(repository, renew=renew, now=now), self.by_keyid)


def a_person(name: str, *roles: str) -> Person:
    """Return somebody with new keys of those roles; of all three offline roles where none is named."""
    return Person(name=name, signers={role: CryptoSigner.generate_ed25519() for role in roles or tuple(KeyRole)})


@dataclass(frozen=True, kw_only=True)
class Circle:
    """Three people, a repository in which two of them must sign, and the server's two keys."""

    ana: Person
    ben: Person
    cara: Person
    online: CryptoSigner
    director: CryptoSigner
    repository: Repository

    def copy(self, folder: Path) -> Repository:
        """Return a copy of the repository, as it travels to another machine."""
        shutil.copytree(self.repository.folder, folder)
        return Repository(folder=folder)

    def both_sign(self, *, renew: bool = False, now: datetime = NOW) -> None:
        """Let Ana and Ben sign what waits."""
        self.ana.signs(self.repository, renew=renew, now=now)
        self.ben.signs(self.repository, now=now)


def a_circle(folder: Path, *, threshold: int = 2) -> Circle:
    """Return three people whose roots are in force; nothing is drafted."""
    ana, ben, cara = (a_person(name) for name in ("Ana", "Ben", "Cara"))
    online, director = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    founding = Founding(
        keys={
            **{role: tuple(one.public(role) for one in (ana, ben, cara)) for role in KeyRole},
            "online": (public_half(online),),
            "director": (public_half(director),),
        },
        thresholds=dict.fromkeys(KeyRole, threshold),
    )
    repository = found(Repository(folder=folder), founding, signers=ana.by_keyid, now=NOW, lifetime=timedelta(days=365))
    circle = Circle(ana=ana, ben=ben, cara=cara, online=online, director=director, repository=repository)
    ben.signs(repository)
    return circle


def draft(repository: Repository, data: bytes) -> None:
    """Draft the artifact bytes."""
    path = repository.folder.parent / f"{digest_of(data)}.artifact"
    path.write_bytes(data)
    repository.draft(path)


def tamper(path: Path, before: str, after: str) -> None:
    """Change the text in a signed file, and leave its signatures and its spelling as they are."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def signature_of(path: Path, person: Person, role: str) -> str:
    """Return the person's signature in the file."""
    keyid = person.public(role).keyid
    return next(str(one["sig"]) for one in json.loads(path.read_text())["signatures"] if one["keyid"] == keyid)
