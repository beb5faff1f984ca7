"""A device's signed report: the exact bytes that are signed, and who signed them.

Every message from a device travels in an envelope signed with the device's own ed25519 key, so a
report proves its sender whatever broker carried it. ``(device, boot, sequence)`` makes it
idempotent: the sequence grows by one a message within a boot and is stored before sending.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.ids import BootId, DeviceId, TenantId

_DOMAIN = b"edgeship report v1\x00"


class ReportKind(StrEnum):
    """Which message the body holds."""

    UPDATE = "update"
    HEARTBEAT = "heartbeat"
    SKETCH = "sketch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Device to server: one encoded message and the signature over it.

    ``signature`` is ed25519 over ``signed_bytes`` of tenant, device and this envelope.
    """

    boot: BootId
    sequence: int
    kind: ReportKind
    body: bytes
    signature: bytes
    schema: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAck:
    """Server to device: all reports of that boot up to and with ``sequence`` are in the database."""

    boot: BootId
    sequence: int
    schema: int = 1


def signed_bytes(
    *, tenant: TenantId, device: DeviceId, boot: BootId, sequence: int, kind: ReportKind, body: bytes
) -> bytes:
    """Return the bytes that a device signs [wire-3.1]: domain, sender, order and body, each with its length."""
    parts = (tenant.encode(), device.encode(), boot.encode(), str(sequence).encode(), kind.value.encode(), body)
    return _DOMAIN + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
