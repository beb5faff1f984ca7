"""What a loss would cost, rehearsed: ``edgeship keys drill``.

The rehearsal is real: a throw-away repository with the same roles, numbers of keys and thresholds, but with keys of
its own, in which a key is lost, stolen or replaced by the commands' own code. Then everything is verified from the
first roots on, as a device does that was off all the time. Nobody's private key is needed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from signing.ceremony.changes import change_keys, delegate, renew_roots
from signing.ceremony.founding import Founding, found
from signing.ceremony.gathering import next_version, propose, sign, store_pending
from signing.ceremony.overview import RoleView, overview
from signing.ceremony.pending import waiting
from signing.errors import NothingDrafted, WrongKey
from signing.keys import KeyRole, PublicKey, public_of
from signing.places import NAMED_BY_ROOT, TARGETS, team_place
from signing.repository import ROOT_LIFETIME, TARGETS_LIFETIME, Repository

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from securesystemslib.signer import Signer

    from contracts.ids import ModelName

ROOT_ROLES = (KeyRole.ROOT, KeyRole.DIRECTOR_ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of one rehearsed misfortune. ``fatal``: a single loss that nothing can mend."""

    role: str
    what: str
    works: bool
    fatal: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """A throw-away repository, its stand-in keys by role, and the moment."""

    repository: Repository
    signers: Mapping[str, Mapping[str, Signer]]
    now: datetime

    def everybody(self, *, but: AbstractSet[str] = frozenset()) -> dict[str, Signer]:
        return {keyid: one for held in self.signers.values() for keyid, one in held.items() if keyid not in but}

    def sign(self, signers: Mapping[str, Signer], *, now: datetime | None = None, renew: bool = False) -> None:
        """Sign all that these keys may sign; those that may sign nothing sign nothing."""
        try:
            proposals = propose(
                self.repository, set(signers), now=now or self.now, lifetime=TARGETS_LIFETIME, renew=renew
            )
        except (NothingDrafted, WrongKey):
            return
        sign(self.repository, proposals, signers)

    def holds(self, now: datetime) -> bool:
        """Return whether nothing waits any more; what does not verify raises."""
        if waiting(self.repository):
            return False
        self.repository.verify(now)
        return True


def drill(repository: Repository, *, now: datetime) -> tuple[Finding, ...]:
    """Rehearse losing, stealing, revoking and expiring, and return what came of each.

    Raises:
        SigningError: the rehearsal itself failed, which it never should.
    """
    roles = overview(repository).roles
    with tempfile.TemporaryDirectory(prefix="edgeship-drill-") as folder:
        stage = _stage(roles, Path(folder) / "before", now=now)
        return (*(finding for view in roles for finding in _role(stage, view)), _expiry(stage))


def at_hand(repository: Repository, held: AbstractSet[str]) -> tuple[Finding, ...]:
    """Return for each role that people hold whether the keys ``held`` (keyids) are enough to sign for it."""
    findings = []
    for view in overview(repository).roles:
        if view.role in ("online", "director"):
            continue
        here = [key for key in view.keys if key.keyid in held]
        others = ", ".join(key.words for key in view.keys if key.keyid not in held)
        missing = view.threshold - len(here)
        sentence = f"{len(here)} of {len(view.keys)} keys open here, {view.threshold} must sign"
        if missing > 0:
            sentence += f": {missing} more of {others}"
        findings.append(
            Finding(role=view.role, what="keys at hand", works=missing <= 0, fatal=False, sentence=sentence)
        )
    return tuple(findings)


def _role(stage: _Stage, view: RoleView) -> Iterator[Finding]:
    counts = f"{view.threshold} of {len(view.keys)}"
    if view.role in ROOT_ROLES:
        yield _lost_root_key(stage, view, counts)
        yield _stolen(view, counts)
    elif view.role in ("online", "director"):
        works = _rehearse(stage, lambda copy, new: _rotate(copy, view, new))
        sentence = "the server's key is replaced by root; devices follow" if works else "root could not replace the key"
        yield Finding(role=view.role, what="key stolen", works=works, fatal=False, sentence=sentence)
    else:
        yield _lost_listing_key(stage, view, counts)
        yield _revoked(stage, view, counts)


def _lost_root_key(stage: _Stage, view: RoleView, counts: str) -> Finding:
    works = _rehearse(stage, lambda copy, new: _rotate(copy, view, new))
    sentence = (
        f"{counts}: the others put a new key in its place; devices follow"
        if works
        else f"{counts}: losing one key ends this repository: devices would accept no later root. "
        f"Add a key while all are there: 'edgeship keys add {view.role} --key FILE'"
    )
    return Finding(role=view.role, what="one key lost", works=works, fatal=not works, sentence=sentence)


def _stolen(view: RoleView, counts: str) -> Finding:
    safe = view.threshold > 1
    sentence = (
        f"{counts}: one stolen key signs nothing alone; revoke it"
        if safe
        else f"{counts}: whoever steals one key owns this repository; raise the threshold to 2"
    )
    return Finding(role=view.role, what="one key stolen", works=safe, fatal=False, sentence=sentence)


def _lost_listing_key(stage: _Stage, view: RoleView, counts: str) -> Finding:
    def go_on(copy: _Stage, new: Signer) -> bool:
        del new
        before = _version(copy, view.role)
        copy.sign(copy.everybody(but={_first_key(copy, view.role)}), renew=True)
        return _version(copy, view.role) > before

    works = _rehearse(stage, go_on)
    named_by = "root" if view.role == TARGETS.role else "targets"
    sentence = (
        f"{counts}: releases go on with the others"
        if works
        else f"{counts}: no release until {named_by} names another key; devices keep what they run"
    )
    return Finding(role=view.role, what="one key lost", works=works, fatal=False, sentence=sentence)


def _revoked(stage: _Stage, view: RoleView, counts: str) -> Finding:
    works = _rehearse(stage, lambda copy, new: _rotate(copy, view, new))
    named_by = "root" if view.role == TARGETS.role else "targets"
    sentence = f"{named_by} replaces the key, the releases are signed again, devices follow"
    if not works:
        sentence = f"{counts}: {named_by} could not replace it"
    elif view.threshold == 1:
        sentence += "; until then whoever has it can sign releases alone"
    return Finding(role=view.role, what="one key stolen and revoked", works=works, fatal=False, sentence=sentence)


def _expiry(stage: _Stage) -> Finding:
    later = stage.now + ROOT_LIFETIME + timedelta(days=30)

    def renew(copy: _Stage, new: Signer) -> bool:
        del new
        renew_roots(copy.repository, now=later)
        copy.sign(copy.everybody(), now=later, renew=True)
        return True

    works = _rehearse(stage, renew, now=later)
    sentence = "all is renewed with the same keys; devices that were off all the time follow"
    return Finding(
        role="all",
        what="everything expired",
        works=works,
        fatal=not works,
        sentence=sentence if works else "not renewed",
    )


def _rehearse(stage: _Stage, act: Callable[[_Stage, Signer], bool], *, now: datetime | None = None) -> bool:
    """Act on a copy of the stage, and return whether that did what it should and all holds together afterwards."""
    from securesystemslib.signer import CryptoSigner

    with tempfile.TemporaryDirectory(prefix="edgeship-drill-") as folder:
        place = Path(folder) / "repository"
        shutil.copytree(stage.repository.folder, place)
        copy = _Stage(repository=Repository(folder=place), signers=stage.signers, now=stage.now)
        return act(copy, CryptoSigner.generate_ed25519()) and copy.holds(now or stage.now)


def _rotate(copy: _Stage, view: RoleView, new: Signer) -> bool:
    """Put the new key in the place of the role's first, whose holder signs nothing any more."""
    lost = _first_key(copy, view.role)
    change_keys(copy.repository, view.role, add=(_public(new, "the new one"),), remove=(lost,), now=copy.now)
    signers = {**copy.everybody(but={lost}), new.public_key.keyid: new}
    copy.sign(signers)
    copy.sign(signers)  # a listing whose keys were replaced is asked for again once that is in force
    return True


def _version(stage: _Stage, role: str) -> int:
    listing = stage.repository.installed(TARGETS if role == TARGETS.role else team_place(role))
    return listing.signed.version if listing else 0


def _first_key(stage: _Stage, role: str) -> str:
    return next(iter(stage.signers[role]))


def _stage(roles: tuple[RoleView, ...], folder: Path, *, now: datetime) -> _Stage:
    """Return a repository with those roles, numbers of keys and thresholds, all in force, held by stand-ins."""
    signers = {view.role: _stand_ins(len(view.keys)) for view in roles}
    public = {role: tuple(_public(one, "") for one in held.values()) for role, held in signers.items()}
    founding = Founding(
        keys={role: public[role] for role in NAMED_BY_ROOT}, thresholds={view.role: view.threshold for view in roles}
    )
    everybody = {keyid: one for held in signers.values() for keyid, one in held.items()}
    repository = found(Repository(folder=folder), founding, signers=everybody, now=now, lifetime=ROOT_LIFETIME)
    stage = _Stage(repository=repository, signers=signers, now=now)
    store_pending(repository, TARGETS, next_version(repository, TARGETS))
    for view in roles:
        if view.role not in NAMED_BY_ROOT:
            _delegate(repository, view, public[view.role], now=now)
            store_pending(repository, team_place(view.role), next_version(repository, team_place(view.role)))
    stage.sign(everybody)
    return stage


def _delegate(repository: Repository, view: RoleView, keys: tuple[PublicKey, ...], *, now: datetime) -> None:
    models: tuple[ModelName, ...] = tuple(view.models)  # type: ignore[arg-type]  # they come from a delegation
    delegate(repository, view.role, models=models, keys=keys, threshold=view.threshold, now=now)


def _stand_ins(count: int) -> dict[str, Signer]:
    from securesystemslib.signer import CryptoSigner

    made = (CryptoSigner.generate_ed25519() for _ in range(count))
    return {signer.public_key.keyid: signer for signer in made}


def _public(signer: Signer, holder: str) -> PublicKey:
    from dataclasses import replace

    return replace(public_of(signer.public_key), holder=holder)
