"""Names that cross a boundary: parsed once at the door, trusted afterwards.

Every id is a ``NewType`` over ``str``; the ``parse_*`` function is the only way to make one from
outside text. A device id, a tenant, a group or a profile name is a slug (lower case letters,
digits and hyphens, at most 63 characters): it fits an MQTT topic segment, a file name and a host
name without escaping.

>>> parse_release_id("digits@1.2.0")
'digits@1.2.0'
>>> split_release_id(parse_release_id("digits@1.2.0"))
('digits', '1.2.0')
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from contracts.errors import InvalidId

TenantId = NewType("TenantId", str)
DeviceId = NewType("DeviceId", str)
GroupName = NewType("GroupName", str)
ProfileName = NewType("ProfileName", str)
ModelName = NewType("ModelName", str)
ReleaseId = NewType("ReleaseId", str)
RolloutId = NewType("RolloutId", str)
BootId = NewType("BootId", str)
Digest = NewType("Digest", str)
"""A lower-case hexadecimal SHA-256, 64 characters."""

DEFAULT_TENANT = TenantId("default")

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.+-]{0,62}[0-9A-Za-z])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def parse_tenant_id(text: str) -> TenantId:
    """Return the tenant id, or raise InvalidId."""
    return TenantId(_slug("tenant id", text))


def parse_device_id(text: str) -> DeviceId:
    """Return the device id, or raise InvalidId."""
    return DeviceId(_slug("device id", text))


def parse_group_name(text: str) -> GroupName:
    """Return the group name, or raise InvalidId."""
    return GroupName(_slug("group name", text))


def parse_profile_name(text: str) -> ProfileName:
    """Return the profile name, or raise InvalidId."""
    return ProfileName(_slug("profile name", text))


def parse_model_name(text: str) -> ModelName:
    """Return the model name, or raise InvalidId."""
    return ModelName(_slug("model name", text))


def parse_site_name(text: str) -> str:
    """Return the name of the place where devices share a line, or raise InvalidId."""
    return _slug("site name", text)


def parse_rollout_id(text: str) -> RolloutId:
    """Return the rollout id, or raise InvalidId."""
    return RolloutId(_slug("rollout id", text))


def parse_boot_id(text: str) -> BootId:
    """Return the boot id, or raise InvalidId."""
    return BootId(_slug("boot id", text))


def parse_release_id(text: str) -> ReleaseId:
    """Return the release id ``MODEL@VERSION``, or raise InvalidId."""
    model, at, version = text.partition("@")
    if not at:
        raise InvalidId("release id", text, "write it as MODEL@VERSION, as in digits@1.2.0")
    _slug("model name", model)
    if not _VERSION.fullmatch(version):
        raise InvalidId("release version", version, "use digits, letters, '.', '+' and '-', at most 64 characters")
    return ReleaseId(text)


def release_id(model: ModelName, version: str) -> ReleaseId:
    """Return the id of that version of the model."""
    return parse_release_id(f"{model}@{version}")


def split_release_id(release: ReleaseId) -> tuple[ModelName, str]:
    """Return the model name and the version of a release id."""
    model, _, version = release.partition("@")
    return ModelName(model), version


def parse_digest(text: str) -> Digest:
    """Return the digest, or raise InvalidId."""
    if not _DIGEST.fullmatch(text):
        raise InvalidId("digest", text, "a digest is 64 lower-case hexadecimal characters (SHA-256)")
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """Return the SHA-256 of the bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def _slug(what: str, text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise InvalidId(what, text, "use lower-case letters, digits and '-', 1 to 63 characters, no '-' at either end")
    return text
