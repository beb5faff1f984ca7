"""Answers to devices' requests for signed metadata and chunk indexes, in parts that one message carries each.

Of the model repository every device of a tenant gets the same; of the director's, what was signed for it alone
[wire-8.1]. A request that is malformed or comes too often is refused, which the courier counts by reason; the device
hears nothing and asks again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from contracts.codec import encode
from contracts.ids import TenantId, parse_digest, parse_group_name
from contracts.metadata import (
    LIMITS_BYTES,
    PART_BYTES,
    MetadataAnswer,
    MetadataName,
    MetadataRequest,
    RepositoryName,
)
from fleet_server.database.session import reading
from fleet_server.errors import BytesMissing, MalformedRequest, TooLarge
from fleet_server.releases import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from contracts.topics import DeviceTopic
    from fleet_server.director.director import Director
    from fleet_server.releases.deltas import Deltas

VERSION_LIMIT = 2**53


class Answers:
    """What a device gets that asks for metadata."""

    def __init__(self, engine: Engine, director: Director, deltas: Deltas) -> None:
        """Answer from that database, by that director, with those deltas."""
        self._deltas = deltas
        self._engine = engine
        self._director = director

    def parts(self, topic: DeviceTopic, request: MetadataRequest) -> Iterator[MetadataAnswer]:
        """Yield the answer's parts in order: one without data where there is no such file.

        Raises:
            MalformedRequest: the request says what none may say.
            InvalidId: a digest or a team in it is none.
            TooManyTries: the device asks the director too often.
            TooLarge: the file is longer than a device takes.
        """
        if not 0 <= request.version < VERSION_LIMIT:
            raise MalformedRequest(f"there is no version {request.version} of {request.name}")
        data = self._document(topic, request)
        if len(data) > LIMITS_BYTES[request.name]:
            raise TooLarge(f"{request.name} of {len(data)} bytes is longer than a device takes")
        parts = -(-len(data) // PART_BYTES)
        for part in range(max(1, parts)):
            yield MetadataAnswer(
                name=request.name,
                request=request.request,
                part=part,
                parts=parts,
                data=data[part * PART_BYTES : (part + 1) * PART_BYTES],
            )

    def _document(self, topic: DeviceTopic, request: MetadataRequest) -> bytes:
        """Return the file asked for; empty where there is none."""
        if request.repository is RepositoryName.DIRECTOR and request.name is MetadataName.TIMESTAMP:
            return self._director.timestamp(topic.tenant, topic.device, request.nonce)
        if request.repository is RepositoryName.DIRECTOR and request.name is not MetadataName.ROOT:
            return self._director.file(topic.tenant, topic.device, request.name, version=request.version)
        if request.name is MetadataName.DELTA:
            return encode(self._deltas.news(topic.tenant, topic.device, base=request.base, target=request.digest))
        with reading(self._engine) as session:
            if request.name is MetadataName.INDEX:
                return _index(session, topic.tenant, request.digest)
            return _signed_file(session, topic.tenant, request)


def _index(session: Session, tenant: TenantId, digest: str) -> bytes:
    with contextlib.suppress(BytesMissing):
        return store.find_index(session, tenant, parse_digest(digest))
    return b""


def _signed_file(session: Session, tenant: TenantId, request: MetadataRequest) -> bytes:
    role = request.name.value
    if request.repository is RepositoryName.DIRECTOR:
        role = store.DIRECTOR_ROOT
    elif request.team:
        if request.name is not MetadataName.TARGETS:
            raise MalformedRequest(f"a team has no {request.name} of its own")
        role = store.team_role(parse_group_name(request.team))
    if request.version:
        row = store.find_document(session, tenant, role, request.version)
    else:
        row = store.newest_document(session, tenant, role)
    return row.text.encode() if row else b""
