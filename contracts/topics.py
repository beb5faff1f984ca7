"""The one place where MQTT topics are built and parsed [wire-2.1].

    es/TENANT/d/DEVICE/offer         server to device, retained: what to run now
    es/TENANT/d/DEVICE/meta          server to device: metadata parts
    es/TENANT/d/DEVICE/chunk         server to device: one chunk, or a refusal
    es/TENANT/d/DEVICE/ack           server to device: reports committed
    es/TENANT/d/DEVICE/meta-request  device to server
    es/TENANT/d/DEVICE/chunk-request device to server
    es/TENANT/d/DEVICE/report        device to server: a signed envelope

>>> topic = device_topic(TenantId("default"), DeviceId("pi-1"), Channel.OFFER)
>>> topic
'es/default/d/pi-1/offer'
>>> parse_topic(topic).device
'pi-1'
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.errors import InvalidId, TopicError
from contracts.ids import DeviceId, TenantId, parse_device_id, parse_tenant_id

_ROOT = "es"


class Channel(StrEnum):
    """The last segment of a device's topic."""

    OFFER = "offer"
    META = "meta"
    CHUNK = "chunk"
    ACK = "ack"
    META_REQUEST = "meta-request"
    CHUNK_REQUEST = "chunk-request"
    REPORT = "report"


TO_DEVICE = (Channel.OFFER, Channel.META, Channel.CHUNK, Channel.ACK)
FROM_DEVICE = (Channel.META_REQUEST, Channel.CHUNK_REQUEST, Channel.REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTopic:
    """A parsed topic."""

    tenant: TenantId
    device: DeviceId
    channel: Channel


def device_topic(tenant: TenantId, device: DeviceId, channel: Channel) -> str:
    """Return the topic of one device's channel."""
    return f"{_ROOT}/{tenant}/d/{device}/{channel}"


def every_device(channel: Channel) -> str:
    """Return the subscription filter of one channel of every device of every tenant."""
    return f"{_ROOT}/+/d/+/{channel}"


def parse_topic(topic: str) -> DeviceTopic:
    """Return whose topic it is and which channel.

    Raises:
        TopicError: the topic is not one of ours.
    """
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != _ROOT or parts[2] != "d":
        raise TopicError(f"topic {topic[:120]!r} is not {_ROOT}/TENANT/d/DEVICE/CHANNEL")
    try:
        return DeviceTopic(
            tenant=parse_tenant_id(parts[1]), device=parse_device_id(parts[3]), channel=Channel(parts[4])
        )
    except (InvalidId, ValueError) as error:
        raise TopicError(f"topic {topic[:120]!r}: {error}") from error
