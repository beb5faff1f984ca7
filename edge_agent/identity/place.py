"""What the device keeps of its enrollment.

STATE/enrollment.json   its place: tenant, device, group, broker
STATE/authority.pem     the authorities that it trusts
STATE/device.pem        its key and its certificate, as TLS reads them, mode 0600
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from contracts.codec import from_plain, to_plain
from contracts.enrollment import EnrollmentAnswer
from edge_agent.errors import NotEnrolled, StateError
from edge_agent.state_folder import StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.disk import Disk
    from edge_agent.identity.keys import DeviceKey


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


def keep_enrollment(answer: EnrollmentAnswer, key: DeviceKey, *, state: StateFolder, disk: Disk) -> None:
    """Keep the answer. The place comes last: it is what makes the device a member.

    Raises:
        StateError: it cannot be written.
    """
    place = dataclasses.replace(answer, certificate="", authorities="")
    try:
        disk.write(state.authority, answer.authorities.encode("ascii"))
        disk.write(state.certificate, key.private_pem() + answer.certificate.encode("ascii"), mode=0o600)
        disk.write(state.enrollment, json.dumps(to_plain(place), indent=2).encode())
    except (OSError, UnicodeEncodeError) as error:
        raise StateError(
            f"got a certificate, but cannot write it to {state.path}: {error}; free some room and try again"
        ) from error
