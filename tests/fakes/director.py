"""The director of one device as a test has it: signs on demand, and says whatever the test wants."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tuf.api.metadata import TargetFile, Targets

from contracts.codec import to_plain
from contracts.director import ASSIGNMENT_FIELD, TIME_FIELD, Assignment, TimeAnswer
from contracts.ids import DEFAULT_TENANT, parse_device_id
from contracts.metadata import MetadataRequest
from tests.fakes.clock import START
from tests.fakes.tuf_files import TufFiles

ONLINE = ("timestamp", "snapshot", "targets")


class FakeDirector(TufFiles):
    """``now`` is the server's clock; ``device`` the one that it signs for; ``targets`` what it names by path."""

    def __init__(self, *, device: str = "pi-1", expires: datetime | None = None) -> None:
        super().__init__(expires=expires, shared=ONLINE)
        self.now = START
        self.device = parse_device_id(device)
        self.generation = 0
        self.step = 1
        self.targets: dict[str, TargetFile] = {}
        self.sign()

    def sign(self) -> None:
        """Sign the next version of targets and snapshot with the keys and targets as they are now."""
        version = self.newest("targets") + self.step
        assignment = Assignment(tenant=DEFAULT_TENANT, device=self.device, generation=self.generation)
        targets = Targets(
            expires=self.expires,
            version=version,
            targets=dict(self.targets),
            unrecognized_fields={ASSIGNMENT_FIELD: to_plain(assignment)},
        )
        self.write("targets", targets)
        self._write_snapshot(self.newest("snapshot") + self.step, {"targets": version})

    def name(self, path: str, target: TargetFile) -> None:
        """Name this target for its model instead of what was named before, and sign."""
        model = path.partition("/")[0]
        self.targets = {other: kept for other, kept in self.targets.items() if other.partition("/")[0] != model}
        self.targets[path] = target
        self.generation += 1
        self.sign()

    def answer(self, asked: MetadataRequest) -> bytes:
        """Return the file asked for; each timestamp is signed now and answers the nonce."""
        if asked.name == "timestamp":
            self.sign_timestamp(asked.nonce)
        return self.files.get((asked.name, asked.version or self.newest(asked.name)), b"")

    def sign_timestamp(self, nonce: bytes, **changes: Any) -> bytes:
        """Sign and return the next timestamp; ``changes`` are fields of its time answer."""
        told = TimeAnswer(tenant=DEFAULT_TENANT, device=self.device, nonce=nonce.hex(), at=self.now)
        plain = to_plain(told)
        assert isinstance(plain, dict)
        version = self.newest("timestamp") + self.step
        fields = {TIME_FIELD: {**plain, **changes}}
        self._write_timestamp(version, snapshot=self.newest("snapshot"), fields=fields)
        return self.files["timestamp", version]
