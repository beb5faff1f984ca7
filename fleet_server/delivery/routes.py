"""Chunks over HTTPS, where the broker gives nothing: the same bytes to the same devices as over MQTT [wire-5.9].

A chunk is named by its digest and never changes, so it may be kept for ever and asked for in parts. Whoever may not
have it is told what they are told of a chunk that does not exist: nobody learns what another tenant has.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from contracts.ids import Digest, parse_digest
from fleet_server.database.session import reading
from fleet_server.delivery.recipient import Recipient, find_share
from fleet_server.errors import BytesMissing, DeliveryBusy, NotFound
from fleet_server.identity.current_device import CurrentDevice, KnownDevice
from fleet_server.wiring import Wiring, wiring_of

LONGEST_DELAY_S = 20.0
"""A request that its site's rate would hold up for longer is to come again."""
KEEP = "private, max-age=31536000, immutable"

router = APIRouter()
Shared = Annotated[Wiring, Depends(wiring_of)]


@router.get("/chunks/{sha256}")
async def get_chunk(sha256: str, request: Request, device: CurrentDevice, wiring: Shared) -> Response:
    """Give the chunk, or the part of it that a Range header names."""
    digest = parse_digest(sha256)
    recipient = await run_in_threadpool(_recipient, wiring, device, digest)
    headers = {"ETag": f'"{digest}"', "Cache-Control": KEEP}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    path = wiring.vault.chunk_file(digest)
    await _await_room(wiring, recipient, path.stat().st_size)
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def _recipient(wiring: Wiring, device: KnownDevice, digest: Digest) -> Recipient:
    """Return whose buckets pay for the chunk.

    Raises:
        NotFound: there is no such chunk, or this device may not have it.
    """
    with reading(wiring.engine) as session:
        share = find_share(session, device.tenant, device.device)
    for index in share.artifacts if share else ():
        try:
            if share is not None and wiring.cuts.find(device.tenant, index).has(digest):
                return share.recipient
        except BytesMissing:
            continue
    raise NotFound("chunk", digest)


async def _await_room(wiring: Wiring, recipient: Recipient, length: int) -> None:
    """Wait until the buckets have room.

    Raises:
        DeliveryBusy: that takes too long.
    """
    began_s = time.monotonic()
    while (wait_s := wiring.buckets.take(recipient, length, now_s=time.monotonic())) > 0:
        if time.monotonic() + wait_s - began_s > LONGEST_DELAY_S:
            raise DeliveryBusy(
                f"device {recipient.device!r} gets no chunk within {LONGEST_DELAY_S:g} s at the rates of [delivery]; "
                "ask again later"
            )
        await asyncio.sleep(min(wait_s, 1.0))
