"""The API of releases: bytes first, then the metadata that sign for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from contracts.ids import Digest, digest_of, parse_digest, parse_profile_name, parse_release_id
from contracts.metadata import LIMITS_BYTES, MetadataName
from contracts.sketch import SketchPlan
from fleet_server.database.session import reading, transaction
from fleet_server.errors import BytesDiffer, TooLarge
from fleet_server.people.routes import CurrentUser, Operator
from fleet_server.people.store import record_act
from fleet_server.people.user import User
from fleet_server.readmodel import ReleaseView, TrustView
from fleet_server.releases import door, store, trust_watch
from fleet_server.releases.publishing import Submission, publish
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter()
Shared = Annotated[Wiring, Depends(wiring_of)]
METADATA_LIMIT_BYTES = 16_000_000
WRITE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was uploaded and is kept."""

    digest: str
    length: int


@router.put("/artifacts/{digest}")
async def upload_artifact(digest: str, request: Request, wiring: Shared, user: Operator) -> Kept:
    """Keep the body, which has that SHA-256, until metadata sign for it."""
    wanted = parse_digest(digest)
    known = await run_in_threadpool(_known_length, wiring, user, wanted)
    if known is not None:
        return Kept(digest=wanted, length=known)
    limit_bytes = wiring.config.max_artifact_bytes
    _refuse_stated_length(request, limit_bytes)
    length = 0
    with await run_in_threadpool(wiring.vault.receive, wanted) as upload:
        waiting = bytearray()
        async for piece in request.stream():
            length += len(piece)
            if length > limit_bytes:
                raise TooLarge(f"artifact {wanted} is over the limit of {limit_bytes} bytes")
            waiting += piece
            if len(waiting) >= WRITE_BYTES:
                await run_in_threadpool(upload.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(upload.write, bytes(waiting))
        await run_in_threadpool(upload.keep)
    await run_in_threadpool(_record_upload, wiring, user, "artifact.upload", wanted, f"{length} bytes")
    return Kept(digest=wanted, length=length)


@router.put("/indexes/{digest}")
async def upload_index(digest: str, request: Request, wiring: Shared, user: Operator) -> Kept:
    """Keep the chunk index, which has that SHA-256."""
    wanted = parse_digest(digest)
    body = await _read_body(request, LIMITS_BYTES[MetadataName.INDEX])
    await run_in_threadpool(_keep_index, wiring, user, wanted, body)
    return Kept(digest=wanted, length=len(body))


async def _submission(request: Request, user: Operator) -> Submission:
    """Read the body within its limit; it is only read for somebody who may publish."""
    from pydantic import TypeAdapter, ValidationError

    body = await _read_body(request, METADATA_LIMIT_BYTES)
    try:
        return TypeAdapter(Submission).validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise BytesDiffer(
            f"{user.name}'s submission: {'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}; "
            'send {"roots": [TEXT ...], "targets": TEXT, "teams": {NAME: TEXT}, "director_roots": [TEXT ...]}'
        ) from error


@router.post("/metadata")
def submit_metadata(
    body: Annotated[Submission, Depends(_submission)], wiring: Shared, user: Operator
) -> list[ReleaseView]:
    """Publish what the metadata name."""
    done = publish(
        wiring.engine,
        user.tenant,
        body,
        vault=wiring.vault,
        rings=wiring.rings,
        actor=user.name,
        now=wiring.clock.now(),
    )
    with reading(wiring.engine) as session:
        return [view for view in store.list_releases(session, user.tenant) if view.id in done.acts]


@router.get("/releases")
def list_releases(wiring: Shared, user: CurrentUser) -> list[ReleaseView]:
    """List published releases, newest first."""
    with reading(wiring.engine) as session:
        return list(store.list_releases(session, user.tenant))


@router.get("/trust")
def get_trust(wiring: Shared, user: CurrentUser) -> TrustView:
    """Show what is trusted, until when, and the security floors."""
    with reading(wiring.engine) as session:
        return trust_watch.trust_view(session, user.tenant)


@router.get("/releases/{release}/sketch-plans/{profile}")
def get_sketch_plan(release: str, profile: str, wiring: Shared, user: CurrentUser) -> SketchPlan:
    """Show what the release's artifact for that profile says to watch, and what normal was."""
    with reading(wiring.engine) as session:
        manifest = store.manifest_of(session, user.tenant, parse_release_id(release), parse_profile_name(profile))
        return manifest.sketch_plan


async def _read_body(request: Request, limit_bytes: int) -> bytes:
    _refuse_stated_length(request, limit_bytes)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit_bytes:
            raise TooLarge(f"the body is over the limit of {limit_bytes} bytes")
    return bytes(body)


def _refuse_stated_length(request: Request, limit_bytes: int) -> None:
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit_bytes:
        raise TooLarge(f"the body of {stated} bytes is over the limit of {limit_bytes} bytes")


def _known_length(wiring: Wiring, user: User, digest: Digest) -> int | None:
    with reading(wiring.engine) as session:
        return store.artifact_length(session, user.tenant, digest)


def _keep_index(wiring: Wiring, user: User, digest: Digest, body: bytes) -> None:
    if digest_of(body) != digest:
        raise BytesDiffer(f"the bytes have digest {digest_of(body)}, not {digest}; send them again")
    index = door.read_index(body)
    now = wiring.clock.now()
    with transaction(wiring.engine) as session:
        store.keep_index(session, user.tenant, digest, index=index, body=body, now=now)
        record_act(session, user.tenant, actor=user.name, action="index.upload", thing=digest, now=now)


def _record_upload(wiring: Wiring, user: User, action: str, digest: Digest, detail: str) -> None:
    with transaction(wiring.engine) as session:
        record_act(
            session,
            user.tenant,
            actor=user.name,
            action=action,
            thing=digest,
            now=wiring.clock.now(),
            detail=detail,
        )
