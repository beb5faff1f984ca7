"""Deltas between artifacts: made when a rollout begins, by one niced process at a time, and kept like any bytes.

A device that holds one artifact of a model asks for the delta to the one that it was offered. What the devices of a
rollout run is known (``foreseen``), so the first one may find its delta ready. Where none was made yet it hears "later"
[wire-5.12] and one is made, once for all devices with that base. One that pays is cut into chunks and kept in the
vault; that there is none that pays is remembered too. The delta needs no trust: the device checks what it leads to.
"""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select

from contracts.chunks import cut
from contracts.codec import encode
from contracts.delta.file import LENGTH_LIMIT_BYTES
from contracts.delta.news import DeltaNews, DeltaState
from contracts.ids import DeviceId, Digest, TenantId, digest_of, parse_digest, split_release_id
from fleet_server.database.delta_tables import DeltaRow
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import ArtifactRow, DeviceRow
from fleet_server.errors import FleetServerError
from fleet_server.releases import door, store
from fleet_server.releases.foreseen import Begun, pairs_of, running_rollouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from fleet_server.clock import Clock
    from fleet_server.releases.vault import Vault

log = logging.getLogger(__name__)

PAYS_RATIO: Final = 0.7
"""Of the target's length: a longer delta is not worth the work on the device."""
QUEUE_LIMIT: Final = 64
BASES_LIMIT: Final = 32
"""Bases that one target gets deltas from: the first that are asked for."""
TIME_LIMIT_S: Final = 600.0
_WAIT_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Wanted:
    tenant: TenantId
    base: Digest
    target: Digest


class Deltas:
    """What devices hear of deltas, and the one worker that makes them."""

    def __init__(self, engine: Engine, vault: Vault, clock: Clock, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        """Start with nothing to do; a delta that takes longer than ``time_limit_s`` is given up."""
        self._engine = engine
        self._vault = vault
        self._clock = clock
        self._time_limit_s = time_limit_s
        self._waiting: queue.Queue[_Wanted] = queue.Queue(QUEUE_LIMIT)
        self._known: set[_Wanted] = set()
        self._begun: set[Begun] = set()
        self._changed = threading.Condition()

    def news(self, tenant: TenantId, device: DeviceId, *, base: str, target: str) -> DeltaNews:
        """Return what the device hears; where there is nothing yet, let one be made.

        Raises:
            InvalidId: a digest is none.
        """
        wanted = _Wanted(tenant, parse_digest(base), parse_digest(target))
        with reading(self._engine) as session:
            row = session.get(DeltaRow, (tenant, wanted.base, wanted.target))
            allowed = _may_have(session, wanted, device)
            wished = allowed and row is None and _may_be_made(session, wanted)
        if not allowed or (row is None and not wished) or (row is not None and not row.index_digest):
            return DeltaNews(base=base, target=target, state=DeltaState.NONE)
        if row is None:
            self._want(wanted)
            return DeltaNews(base=base, target=target, state=DeltaState.LATER)
        return DeltaNews(base=base, target=target, state=DeltaState.READY, index=row.index_digest, length=row.length)

    def foresee(self) -> None:
        """Let be made what the devices of the rollouts will ask for that began since the last call."""
        with reading(self._engine) as session:
            rollouts = running_rollouts(session)
            wanted = [
                _Wanted(begun[0], base, target)
                for begun, release in rollouts.items()
                if begun not in self._begun
                for base, target in islice(pairs_of(session, begun, release), BASES_LIMIT)
            ]
            missing = [
                one
                for one in wanted
                if session.get(DeltaRow, (one.tenant, one.base, one.target)) is None and _may_be_made(session, one)
            ]
        self._begun = set(rollouts)
        for one in missing:
            self._want(one)

    def run(self, stop: threading.Event) -> None:
        """Make what is wanted, one after the other, until stopped."""
        while not stop.is_set():
            try:
                wanted = self._waiting.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            try:
                self._make(wanted, stop)
            finally:
                with self._changed:
                    self._known.discard(wanted)
                    self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many are to be made or being made."""
        return len(self._known)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is to be made; return whether it came to that in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._known, timeout_s)

    def _want(self, wanted: _Wanted) -> None:
        """Put it into the queue once; where there is no room, a device will ask again."""
        with self._changed:
            if wanted in self._known or self._waiting.full():
                return
            self._known.add(wanted)
            self._waiting.put_nowait(wanted)

    def _make(self, wanted: _Wanted, stop: threading.Event) -> None:
        try:
            base, target = self._whole(wanted.tenant, wanted.base), self._whole(wanted.tenant, wanted.target)
            delta = _made(base, target, time_limit_s=self._time_limit_s, stop=stop)
            pays = len(delta) < PAYS_RATIO * len(target)
            self._keep(wanted, delta if pays else b"")
        except DeltaImpossible as error:
            log.warning("no delta", extra={"target": wanted.target, "reason": str(error)})
            if not stop.is_set():
                self._keep(wanted, b"")
        except (FleetServerError, OSError, subprocess.SubprocessError) as error:
            # what may pass is not remembered: the next device that asks has it tried again
            log.warning("delta not made", extra={"target": wanted.target, "reason": str(error)})

    def _whole(self, tenant: TenantId, digest: Digest) -> bytes:
        """Return the artifact, put together from its chunks."""
        with reading(self._engine) as session:
            row = session.get(ArtifactRow, (tenant, digest))
            index = door.read_index(store.find_index(session, tenant, row.index_digest)) if row else None
        if index is None:
            raise DeltaImpossible(f"artifact {digest} is not published any more")
        return b"".join(self._vault.chunk(Digest(chunk.hex())) for chunk in index.digests)

    def _keep(self, wanted: _Wanted, delta: bytes) -> None:
        """Write down what came of it; ``delta`` is empty where there is none."""
        now = self._clock.now()
        digest, body = "", b""
        index = cut(delta) if delta else None
        if index is not None:
            body = encode(index)
            digest = digest_of(body)
            with self._vault.receive(index.artifact) as upload:
                upload.write(delta)
                upload.keep()
            self._vault.cut(index)
            self._vault.drop_artifact(index.artifact)
        with transaction(self._engine) as session:
            if index is not None:
                store.keep_index(session, wanted.tenant, Digest(digest), index=index, body=body, now=now)
            session.merge(
                DeltaRow(
                    tenant=wanted.tenant,
                    base=wanted.base,
                    target=wanted.target,
                    index_digest=digest,
                    length=len(delta),
                    made_at=now,
                )
            )
        log.info("delta made", extra={"target": wanted.target, "bytes": len(delta)})


class DeltaImpossible(FleetServerError):
    """What a delta would be made from is not there, or its process failed."""

    code = "delta_impossible"


_INDEXES = select(DeltaRow.__table__.c.index_digest, DeltaRow.__table__.c.target).where(
    DeltaRow.__table__.c.tenant == bindparam("tenant"),
    DeltaRow.__table__.c.target.in_(bindparam("targets", expanding=True)),
    DeltaRow.__table__.c.index_digest != "",
)
"""Made once: it is asked at each request for chunks."""


def delta_indexes(session: Session, tenant: TenantId, targets: Iterable[Digest]) -> Mapping[Digest, Digest]:
    """Return for each delta that leads to one of the artifacts the digest of its chunk index, and the artifact."""
    rows = session.execute(_INDEXES, {"tenant": tenant, "targets": list(targets)})
    return {Digest(index): target for index, target in rows}


def _may_have(session: Session, wanted: _Wanted, device: DeviceId) -> bool:
    """Whether the device was offered the target."""
    row = session.get(DeviceRow, (wanted.tenant, device))
    target = session.get(ArtifactRow, (wanted.tenant, wanted.target))
    return (
        row is not None
        and target is not None
        and target.release == row.offered_release
        and target.profile == row.profile
        and wanted.base != wanted.target
    )


def _may_be_made(session: Session, wanted: _Wanted) -> bool:
    """Whether both are artifacts of one model, neither too long nor too unlike, and the target has deltas to come."""
    base = session.get(ArtifactRow, (wanted.tenant, wanted.base))
    target = session.get(ArtifactRow, (wanted.tenant, wanted.target))
    if base is None or target is None or max(base.length, target.length) > LENGTH_LIMIT_BYTES:
        return False
    if base.length < (1 - PAYS_RATIO) * target.length:
        return False  # what the base cannot hold has to be sent whole
    made = session.scalar(
        select(func.count())
        .select_from(DeltaRow)
        .where(DeltaRow.tenant == wanted.tenant, DeltaRow.target == wanted.target)
    )
    return split_release_id(base.release)[0] == split_release_id(target.release)[0] and (made or 0) < BASES_LIMIT


def _made(base: bytes, target: bytes, *, time_limit_s: float, stop: threading.Event) -> bytes:
    """Return the delta, made by a process of its own that gives way to everything else.

    Raises:
        DeltaImpossible: it failed, took too long, or the server stops.
    """
    with tempfile.TemporaryDirectory(prefix="edgeship-delta-") as folder:
        paths = [Path(folder) / name for name in ("base", "target", "delta")]
        paths[0].write_bytes(base)
        paths[1].write_bytes(target)
        command = [sys.executable, "-m", "fleet_server.releases.delta_process", *map(str, paths)]
        # its standard input ends with this process, however that ends, and the child with it
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own module
            waited = 0.0
            while process.poll() is None:
                if stop.wait(_WAIT_S) or waited > time_limit_s:
                    process.kill()
                    raise DeltaImpossible(f"making it took over {waited:.0f} s or the server stops")
                waited += _WAIT_S
        if process.returncode:
            raise DeltaImpossible(f"its process ended with {process.returncode}")
        return paths[2].read_bytes()
