"""What a signature would change, in words: told before it is given, made from the very bytes that are signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from signing.ceremony.roles import keys_of
from signing.metadata import as_listing, as_root, floors_of, models_of, signed_artifacts, teams_of
from signing.places import NAMED_BY_ROOT, Place

if TYPE_CHECKING:
    from tuf.api.metadata import Root, Targets

    from contracts.release import ReleasedArtifact
    from signing.ceremony.gathering import Proposal
    from signing.ceremony.pending import Waiting
    from signing.ceremony.roles import Delegator
    from signing.keys import PublicKey


def headline(proposal: Proposal) -> str:
    """Return which file would be signed: role, version, what is in force now, until when it would be good."""
    signed, before = proposal.metadata.signed, proposal.before
    again = "the first" if signed.version == 1 else "none is in force: the first, or its keys were replaced"
    now = f"version {before.signed.version} is in force" if before else again
    return f"{proposal.place.name} version {signed.version} ({now}), good until {signed.expires:%Y-%m-%d}"


def changes(proposal: Proposal) -> tuple[str, ...]:
    """Return what would be other than it is now, one line each: ``+`` comes, ``-`` goes, ``=`` stays."""
    before = proposal.before
    if proposal.place.role == "root":
        lines = _of_root(proposal.place, as_root(before) if before else None, as_root(proposal.metadata))
    else:
        lines = _of_listing(as_listing(before) if before else None, as_listing(proposal.metadata))
    return tuple(lines)


def still_missing(one: Waiting) -> str:
    """Return how many signatures the file still needs and whose would do, in one sentence."""
    name = f"{one.place.name} version {one.version}"
    open_needs = [need for need in one.needs if need.missing]
    if not open_needs:
        return f"{name} is signed and waits for {one.rests_on or 'the next command that writes'}"
    parts = [
        f"{len(need.signed)} of {need.threshold} signatures by the keys of {need.by}, {need.missing} missing: "
        f"{' or '.join(key.words for key in need.open)}"
        for need in open_needs
    ]
    return f"{name} has {'; and '.join(parts)}"


def size(length: int) -> str:
    """Return a length in bytes as people read it."""
    return f"{length / 1e6:.2f} MB" if length >= 1_000_000 else f"{length / 1e3:.1f} kB"


def _of_root(place: Place, before: Root | None, after: Root) -> Iterator[str]:
    for role, (named_by, tuf_roles) in NAMED_BY_ROOT.items():
        if named_by == place:
            yield from _of_role(role, before, after, tuf_role=tuf_roles[0])
    if before is not None and before.roles == after.roles:
        yield f"= the same keys, good until {after.expires:%Y-%m-%d} (was {before.expires:%Y-%m-%d})"


def _of_role(role: str, before: Delegator | None, after: Delegator, *, tuf_role: str) -> Iterator[str]:
    old, threshold = _named(before, tuf_role)
    new, wanted = _named(after, tuf_role)
    yield from (f"- key of {role}: {key.words}" for keyid, key in old.items() if new.get(keyid) != key)
    yield from (f"+ key of {role}: {key.words}" for keyid, key in new.items() if old.get(keyid) != key)
    if new and (len(new), wanted) != (len(old), threshold):
        was = f" (was {threshold} of {len(old)})" if old else ""
        yield f"+ {role} needs {wanted} of {len(new)} signatures{was}"


def _named(delegator: Delegator | None, role: str) -> tuple[Mapping[str, PublicKey], int]:
    from signing.ceremony.roles import named_roles

    if delegator is None or role not in named_roles(delegator)[1]:
        return {}, 0
    return keys_of(delegator, role), delegator.get_delegated_role(role).threshold


def _of_listing(before: Targets | None, after: Targets) -> Iterator[str]:
    old = {one.path: one for one in signed_artifacts(before)} if before else {}
    new = {one.path: one for one in signed_artifacts(after)}
    yield from (f"- {_artifact(old[path])}" for path in sorted(old) if new.get(path) != old[path])
    yield from (f"+ {_artifact(new[path])}" for path in sorted(new) if new[path] != old.get(path))
    yield from _of_floors(floors_of(before) if before else {}, floors_of(after))
    was, named = teams_of(before), teams_of(after)
    for team in dict.fromkeys((*was, *named)):
        models, wanted = (set(models_of(side[team])) if team in side else set() for side in (was, named))
        yield from (f"- team {team} signs no releases of {model} any more" for model in sorted(models - wanted))
        yield from (f"+ team {team} signs the releases of {model}" for model in sorted(wanted - models))
        yield from _of_role(team, before, after, tuf_role=team)
    kept = sum(1 for path in new if new[path] == old.get(path))
    if kept:
        yield f"= {kept} {'artifact stays' if kept == 1 else 'artifacts stay'} as signed before"


def _of_floors(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    for model, floor in before.items():
        if after.get(model, 0) < floor:
            yield f"- floor: here it stands no more that devices install no {model} with a counter under {floor}"
    for model, floor in after.items():
        if before.get(model) != floor:
            yield f"+ floor: devices install no {model} with a counter under {floor} any more"


def _artifact(one: ReleasedArtifact) -> str:
    custom = one.custom
    return (
        f"release {custom.release} for {one.profile}, counter {custom.counter}, {size(one.length)}, sha256 {one.digest}"
        f"{f', for agents from {custom.min_agent_version}' if custom.min_agent_version else ''}"
    )
