"""What the director signs for this device alone: the time that was asked for, and what to run [wire-9.4].

The device sends a nonce that it has just made up; the director's timestamp answers it with the server's time. An answer
to another nonce was recorded, one to another device was meant for it. The device's own clock is asked for nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast

from contracts.codec import Plain, from_plain
from contracts.director import ASSIGNMENT_FIELD, TIME_FIELD, Assignment, TimeAnswer
from contracts.errors import DecodeError, InvalidId
from contracts.ids import split_release_id
from contracts.release import parse_target_path
from edge_agent.trust.errors import AssignedElsewhere, AssignmentRefused, ReleaseUnassigned, TimeUnanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.ids import ReleaseId
    from edge_agent.trust.decision import Subject

Told = TypeVar("Told", Assignment, TimeAnswer)

LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def answered_time(fields: Mapping[str, object], subject: Subject, nonce: bytes) -> datetime:
    """Return the server's time from the unrecognized fields of the director's timestamp.

    Raises:
        AssignedElsewhere: it was signed for another device.
        TimeUnanswered: it answers another nonce, or holds no time.
    """
    try:
        answer = _read(TimeAnswer, fields, TIME_FIELD)
    except DecodeError as error:
        raise TimeUnanswered(f"the director's timestamp holds no time ({error}); update the fleet server") from error
    _check_device(answer, subject, "timestamp")
    if answer.nonce != nonce.hex():
        raise TimeUnanswered(
            "the director's timestamp answers another question than this device has just asked; someone replays an "
            "old one, or the server does not answer the nonce"
        )
    if answer.at.tzinfo is None or not datetime(1970, 1, 1, tzinfo=UTC) <= answer.at < LATEST:
        raise TimeUnanswered(f"the director's time {answer.at} is no time of this world; set the server's clock")
    return answer.at


def check_assignment(fields: Mapping[str, object], subject: Subject) -> Assignment:
    """Return the assignment from the unrecognized fields of the director's targets.

    Raises:
        AssignedElsewhere: it was signed for another device.
        AssignmentRefused: there is none that can be read.
    """
    try:
        assignment = _read(Assignment, fields, ASSIGNMENT_FIELD)
    except DecodeError as error:
        raise AssignmentRefused(f"the director's targets name no device ({error}); update the fleet server") from error
    _check_device(assignment, subject, "targets")
    return assignment


def assigned_path(paths: Mapping[str, object], release: ReleaseId) -> str:
    """Return the one target path that the director names for the release's model, which must be the release's.

    Raises:
        AssignmentRefused: it names several, or something that is no path of an artifact.
        ReleaseUnassigned: it names another release, or none.
    """
    model, _ = split_release_id(release)
    try:
        named = {path: parse_target_path(path)[0] for path in paths}
    except InvalidId as error:
        raise AssignmentRefused(f"the director names what is no artifact: {error}") from error
    own = {path: named[path] for path in sorted(named) if split_release_id(named[path])[0] == model}
    if len(own) > 1:
        raise AssignmentRefused(f"the director names {len(own)} artifacts of model {model}; it must name one")
    for path, wanted in own.items():
        if wanted == release:
            return path
    raise ReleaseUnassigned(
        f"the director wants {', '.join(own.values()) or 'nothing'} of model {model} on this device, not {release}; "
        "roll it out to this device, or wait for a newer offer"
    )


def _read(kind: type[Told], fields: Mapping[str, object], name: str) -> Told:
    if name not in fields:
        raise DecodeError(f"the field {name!r} is missing")
    return from_plain(kind, cast("Plain", fields[name]))


def _check_device(told: Assignment | TimeAnswer, subject: Subject, what: str) -> None:
    if (told.tenant, told.device) != (subject.tenant, subject.device):
        raise AssignedElsewhere(
            f"the director's {what} are for {told.tenant}/{told.device}, this is {subject.tenant}/{subject.device}; "
            "someone replays what was signed for another device"
        )
