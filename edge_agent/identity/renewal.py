"""A new certificate at two thirds of the old one's life, or when the broker wants the old one no more.

How old the certificate is, is measured by the device's own clock since it came here, so a clock that is wrong but
steady does no harm; one that jumped is healed by the broker's refusal. Failures are tried again after a
random wait of up to 1, 2, 4 ... 60 minutes.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from contracts.enrollment import EnrollmentAnswer, NonceAnswer, RenewalRequest
from edge_agent.errors import EnrollmentError, EnrollmentRefused, StateError
from edge_agent.identity.exchange import ask
from edge_agent.identity.keys import device_key
from edge_agent.identity.place import keep_enrollment, load_enrollment
from edge_agent.identity.tls import pinned_tls
from edge_agent.state_folder import StateFolder

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.clock import Clock
    from edge_agent.config import AgentConfig
    from edge_agent.disk import Disk
    from edge_agent.identity.credentials import KeptCredentials

log = logging.getLogger(__name__)

EARLIEST, LATEST = 0.6, 2 / 3
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCertificate:
    """How long the certificate here lives, and since when it is here, by this device's clock."""

    life: timedelta
    received_at: datetime


def held_certificate(path: Path) -> HeldCertificate:
    """Return what is known of the certificate in the file.

    Raises:
        StateError: the file is damaged.
    """
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        received_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read ({error}); remove enrollment.json and enroll again") from error
    return HeldCertificate(
        life=certificate.not_valid_after_utc - certificate.not_valid_before_utc, received_at=received_at
    )


def is_due(held: HeldCertificate, now: datetime, *, share: float) -> bool:
    """Return whether so large a share of the certificate's life is over."""
    return now - held.received_at >= held.life * share


def renew(config: AgentConfig, *, disk: Disk) -> EnrollmentAnswer:
    """Get and keep a new certificate for the enrolled key; the old one need not be in force.

    Raises:
        NotEnrolled: the device has no place in a fleet.
        ServerUnreachable: no answer.
        AuthorityRefused: whoever answers is not this device's server.
        EnrollmentRefused: the server does not want this device any more.
        StateError: the certificate cannot be kept.
    """
    state, place = StateFolder(config.state_dir), load_enrollment(config.state_dir)
    try:
        tls = pinned_tls(state.authority.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise StateError(f"{state.authority} cannot be read ({error}); enroll the device again") from error
    key = device_key(config.state_dir)
    nonce = ask(config.server, "/renew", NonceAnswer, tls=tls).nonce
    request = RenewalRequest(tenant=place.tenant, device=place.device, csr=key.certificate_request(nonce=nonce))
    answer = ask(config.server, "/renew", EnrollmentAnswer, tls=tls, body=request)
    if (answer.tenant, answer.device) != (place.tenant, place.device):
        raise EnrollmentRefused(f"the server took this device for {answer.device}", reason="odd_answer")
    keep_enrollment(answer, key, state=state, disk=disk)
    return answer


class Renewer:
    """Renews when it is time; ``look`` is called now and then."""

    def __init__(
        self, config: AgentConfig, credentials: KeptCredentials, *, disk: Disk, clock: Clock, chance: random.Random
    ) -> None:
        """Renew into the configuration's state folder."""
        self._config = config
        self._credentials = credentials
        self._disk = disk
        self._clock = clock
        self._chance = chance
        self._share = chance.uniform(EARLIEST, LATEST)
        self._failures = 0
        self._not_before_s = 0.0

    def look(self) -> None:
        """Renew if it is time, and not too soon after a failure."""
        if self._clock.monotonic_s() < self._not_before_s or not self._is_time():
            return
        try:
            renew(self._config, disk=self._disk)
        except (EnrollmentError, StateError) as error:
            self._failures = min(self._failures + 1, 10)
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (self._failures - 1))
            self._not_before_s = self._clock.monotonic_s() + self._chance.uniform(0.0, longest)
            log.warning("certificate not renewed", extra={"reason": str(error)})
            return
        self._failures = 0
        self._not_before_s = self._clock.monotonic_s() + FIRST_WAIT_S
        self._share = self._chance.uniform(EARLIEST, LATEST)
        self._credentials.replaced()
        log.info("certificate renewed")

    def _is_time(self) -> bool:
        if self._credentials.refused():
            return True
        try:
            held = held_certificate(StateFolder(self._config.state_dir).certificate)
        except StateError:
            return True  # a renewal heals it: the key is kept apart
        return is_due(held, self._clock.now(), share=self._share)
