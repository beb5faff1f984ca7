"""Joining a fleet: a one-time token for a place and a certificate.

The token names the authority by its fingerprint [wire-7.1]. Whoever answers is first asked for the authority, and
nothing secret is said before it is the one that the token names, and TLS has checked that it vouches
for the server. The token is neither stored nor logged.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from contracts.enrollment import AuthorityAnswer, EnrollmentAnswer, EnrollmentRequest, parse_enrollment_token
from edge_agent.errors import AlreadyEnrolled, AuthorityRefused, EnrollmentRefused
from edge_agent.identity.exchange import ask
from edge_agent.identity.keys import device_key
from edge_agent.identity.place import keep_enrollment
from edge_agent.identity.tls import fingerprint_of, pinned_tls, unverified_tls
from edge_agent.state_folder import StateFolder
from edge_agent.version import AGENT_VERSION

if TYPE_CHECKING:
    from edge_agent.config import AgentConfig, ServerConfig
    from edge_agent.disk import Disk


def enroll(config: AgentConfig, token: str, *, disk: Disk) -> EnrollmentAnswer:
    """Make the device a member of the fleet and return its place.

    Raises:
        AlreadyEnrolled: it is one.
        ServerUnreachable: no answer.
        AuthorityRefused: whoever answers is not the server that the token is from.
        EnrollmentRefused: the token is used or unknown, or the device does not fit.
        StateError: the key or the answer cannot be kept.
    """
    state = StateFolder(config.state_dir)
    if state.enrollment.exists():
        raise AlreadyEnrolled(f"this device is enrolled already; remove {state.enrollment} to enroll it anew")
    try:
        known = parse_enrollment_token(token)
    except ValueError as error:
        raise EnrollmentRefused(f"{error}; copy the operator's token as a whole", reason="odd_token") from None
    key = device_key(config.state_dir)
    authority = _authority(config.server, known.fingerprint)
    request = EnrollmentRequest(
        token=known.secret,
        device=config.device,
        profile=config.profile,
        csr=key.certificate_request(),
        agent_version=AGENT_VERSION,
        site=config.site,
    )
    answer = ask(config.server, "/enroll", EnrollmentAnswer, tls=pinned_tls(authority), body=request)
    if answer.device != config.device:
        raise EnrollmentRefused(
            f"the server enrolled {answer.device}, not {config.device}; use another token", reason="odd_answer"
        )
    keep_enrollment(answer, key, state=state, disk=disk)
    return answer


def _authority(server: ServerConfig, fingerprint: str) -> str:
    """Return the authority's certificate, found to be the one of that fingerprint."""
    shown = ask(server, "/authority", AuthorityAnswer, tls=unverified_tls()).authority
    try:
        found, certificate = fingerprint_of(shown)
    except ValueError as error:
        raise EnrollmentRefused(f"{server.url} showed no certificate; check server.url", reason="odd_answer") from error
    if not hmac.compare_digest(found, fingerprint):
        raise AuthorityRefused(
            f"{server.url} is not the server that the token is from: its authority is {found[:16]}…, not "
            f"{fingerprint[:16]}…; the token was not sent; check server.url and what lies between"
        )
    return certificate
