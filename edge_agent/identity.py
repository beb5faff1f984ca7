"""Who this device is: a key made here that never leaves, and the place it was given in the fleet.

    STATE/device.key        the ed25519 seed, hexadecimal, mode 0600
    STATE/enrollment.json   the server's answer: tenant, device, group, broker

Enrolling is one HTTP request with a one-time token; the token is neither stored nor logged.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, cast

from contracts.codec import Plain, from_plain, to_plain
from contracts.enrollment import EnrollmentAnswer, EnrollmentRequest
from contracts.errors import DecodeError
from edge_agent.errors import AlreadyEnrolled, EnrollmentRefused, KeyExposed, NotEnrolled, ServerUnreachable, StateError
from edge_agent.state_folder import StateFolder, keep_private
from edge_agent.version import AGENT_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config import AgentConfig
    from edge_agent.disk import Disk

HTTP_TIMEOUT_S = 15.0
ANSWER_LIMIT_BYTES = 64 * 1024


class DeviceKey:
    """The device's private key; it can sign and say its public half."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def sign(self, data: bytes) -> bytes:
        """Return the ed25519 signature, 64 bytes."""
        return self._key.sign(data)

    @property
    def public_hex(self) -> str:
        """The raw public key, 64 hexadecimal characters."""
        return self._key.public_key().public_bytes_raw().hex()


def device_key(state_dir: Path) -> DeviceKey:
    """Return the device's key; the first call makes it.

    Raises:
        KeyExposed: others may read the file.
        StateError: the file is damaged or cannot be written.
    """
    path = StateFolder(state_dir).device_key
    try:
        keep_private(state_dir)
        if not path.exists():
            _make_key(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyExposed(f"{path} may be read by others than its owner; run: chmod 600 {path}")
        return DeviceKey(bytes.fromhex(path.read_text("ascii").strip()))
    except OSError as error:
        raise StateError(f"cannot use {path}: {error.strerror}; check the folder's owner and room") from error
    except ValueError as error:
        raise StateError(f"{path} holds no key; restore it, or remove it and enroll the device again") from error


def load_enrollment(state_dir: Path) -> EnrollmentAnswer:
    """Return the device's place in the fleet.

    Raises:
        NotEnrolled: it has none yet.
        StateError: the file is damaged.
    """
    path = StateFolder(state_dir).enrollment
    try:
        return from_plain(EnrollmentAnswer, json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise NotEnrolled(
            "this device is not enrolled; run: edgeship agent enroll --config FILE --token TOKEN"
        ) from None
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read ({error}); remove it and enroll the device again") from error


def enroll(config: AgentConfig, token: str, *, disk: Disk) -> EnrollmentAnswer:
    """Make the device a member of the fleet and return its place.

    Raises:
        AlreadyEnrolled: it is one.
        ServerUnreachable: no answer.
        EnrollmentRefused: the token is used or unknown, or the device does not fit.
        StateError: the key or the answer cannot be kept.
    """
    path = StateFolder(config.state_dir).enrollment
    if path.exists():
        raise AlreadyEnrolled(f"this device is enrolled already; remove {path} to enroll it anew")
    request = EnrollmentRequest(
        token=token.strip(),
        device=config.device,
        profile=config.profile,
        public_key=device_key(config.state_dir).public_hex,
        agent_version=AGENT_VERSION,
    )
    answer = _answer(_post(f"{config.server.url.rstrip('/')}/api/v1/enroll", request), config)
    try:
        disk.write(path, json.dumps(to_plain(answer), indent=2).encode())
    except OSError as error:
        raise StateError(
            f"enrolled, but cannot write {path}: {error.strerror}; free some room, use a new token"
        ) from error
    return answer


def _make_key(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex())
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # half a key would pass for one that was lost
        raise


def _post(url: str, request: EnrollmentRequest) -> bytes:
    import http.client
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    body = json.dumps(to_plain(request)).encode()
    question = Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")  # noqa: S310 (config allows http and https only)
    try:
        with urlopen(question, timeout=HTTP_TIMEOUT_S) as response:  # noqa: S310 (as above)
            return cast("bytes", response.read(ANSWER_LIMIT_BYTES))
    except HTTPError as error:
        raise _refusal(url, error.code, error.read(ANSWER_LIMIT_BYTES)) from None
    except (URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ServerUnreachable(
            f"no answer from {url}: {reason}; check server.url and that the fleet server runs"
        ) from None


def _refusal(url: str, status: int, body: bytes) -> EnrollmentRefused:
    try:
        told = json.loads(body)["error"]
        reason, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return EnrollmentRefused(f"{url} answered {status}; check server.url", reason=f"http_{status}")
    return EnrollmentRefused(f"the server refused to enroll this device: {message}", reason=reason)


def _answer(data: bytes, config: AgentConfig) -> EnrollmentAnswer:
    try:
        answer = from_plain(EnrollmentAnswer, cast("Plain", json.loads(data)))
    except (ValueError, DecodeError) as error:
        raise EnrollmentRefused(
            f"{config.server.url} answered, but not as a fleet server does ({error}); check server.url",
            reason="odd_answer",
        ) from error
    if answer.device != config.device:
        raise EnrollmentRefused(
            f"the server enrolled {answer.device}, not {config.device}; use another token", reason="odd_answer"
        )
    return answer
