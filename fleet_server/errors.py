"""What can go wrong on the server, by whose fault, and the one table to HTTP status.

    FleetServerError
    ├── RequestRefused          the caller's: what was asked for cannot be done as it stands
    │   ├── NotFound                no such device, release, rollout, alert …
    │   ├── AlreadyExists           the name is taken, or the object is in a state that forbids it
    │   ├── NotAllowed              signed in, but not for this
    │   ├── NotSignedIn             no valid token, cookie or password
    │   ├── TooLarge                the body is over the limit
    │   ├── Unwritable              the database refuses a value
    │   ├── MalformedRequest        a device asks for what cannot be
    │   └── TooManyTries            wait and try again
    ├── ReleaseRefused          the publisher's: metadata or bytes do not verify
    │   ├── TrustMissing            the operator has not yet said which root to trust
    │   ├── BytesMissing            an artifact or index that the metadata name was not uploaded
    │   └── BytesDiffer             bytes are not those of the digest, the length or the index named
    ├── EnrollmentRefused       the device's: the token is unknown, used up or expired
    │   └── RenewalRefused          not the enrolled key, not a fresh nonce, or revoked
    ├── CertificateRefused      the device's: no certificate, one that counts no more, or a revoked device
    ├── ConfigError             the operator's: server.toml, a command's arguments
    └── EnvironmentFault        the machine's
        ├── DatabaseUnreachable     the database does not answer
        ├── SchemaOutdated          the database's schema is not this version's
        ├── BrokerUnreachable       the broker does not answer or cannot be started
        ├── PortTaken               another process listens there
        └── DataDirUnusable         the data folder is missing, full, or not ours to write

Each message names the thing, the value and the next action; ``code`` is a stable word for programs.
Domains with errors of their own (rollouts, alerts) build on these. Every answer of the API that is no
success has one shape: ``{"error": {"code": ..., "message": ...}}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar


class FleetServerError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "fleet_server"


class RequestRefused(FleetServerError):
    """What was asked for cannot be done as it stands."""

    code: ClassVar[str] = "request_refused"


class NotFound(RequestRefused):
    """There is no such thing."""

    code: ClassVar[str] = "not_found"

    def __init__(self, what: str, name: str, advice: str = "") -> None:
        """Name the kind and the name asked for."""
        super().__init__(f"there is no {what} {name[:120]!r}" + (f"; {advice}" if advice else ""))
        self.what = what
        self.name = name


class DeliveryBusy(RequestRefused):
    """A chunk would come too late at the rates that are set; the device asks again."""

    code: ClassVar[str] = "delivery_busy"


class AlreadyExists(RequestRefused):
    """The name is taken, or the object is in a state that forbids it."""

    code: ClassVar[str] = "already_exists"


class NotAllowed(RequestRefused):
    """Signed in, but not for this."""

    code: ClassVar[str] = "not_allowed"


class NotSignedIn(RequestRefused):
    """No valid token, cookie or password."""

    code: ClassVar[str] = "not_signed_in"


class TooLarge(RequestRefused):
    """The body is over the limit."""

    code: ClassVar[str] = "too_large"


class Unwritable(RequestRefused):
    """The database refuses a value."""

    code: ClassVar[str] = "unwritable"


class MalformedRequest(RequestRefused):
    """A device asks for what cannot be."""

    code: ClassVar[str] = "malformed_request"


class TooManyTries(RequestRefused):
    """Too many in a short time; wait and try again."""

    code: ClassVar[str] = "too_many_tries"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        """Say after how many seconds it is worth trying again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ReleaseRefused(FleetServerError):
    """Metadata or bytes of a release do not verify."""

    code: ClassVar[str] = "release_refused"


class TrustMissing(ReleaseRefused):
    """The operator has not yet said which root to trust."""

    code: ClassVar[str] = "trust_missing"


class BytesMissing(ReleaseRefused):
    """An artifact or an index that the metadata name was not uploaded."""

    code: ClassVar[str] = "bytes_missing"


class BytesDiffer(ReleaseRefused):
    """Bytes are not those of the digest, the length or the index that was named."""

    code: ClassVar[str] = "bytes_differ"


class EnrollmentRefused(FleetServerError):
    """The enrollment token is unknown, used up or expired."""

    code: ClassVar[str] = "enrollment_refused"


class RenewalRefused(EnrollmentRefused):
    """The request for a new certificate is not the enrolled device's own, or not fresh."""

    code: ClassVar[str] = "renewal_refused"


class CertificateRefused(FleetServerError):
    """The connection shows no device's certificate that counts."""

    code: ClassVar[str] = "certificate_refused"


class ConfigError(FleetServerError):
    """The configuration cannot be used."""

    code: ClassVar[str] = "config"


class EnvironmentFault(FleetServerError):
    """Something outside the server does not do its part."""

    code: ClassVar[str] = "environment"


class DatabaseUnreachable(EnvironmentFault):
    """The database does not answer."""

    code: ClassVar[str] = "database_unreachable"


class SchemaOutdated(EnvironmentFault):
    """The database's schema is not this version's."""

    code: ClassVar[str] = "schema_outdated"


class BrokerUnreachable(EnvironmentFault):
    """The broker does not answer or cannot be started."""

    code: ClassVar[str] = "broker_unreachable"


class PortTaken(EnvironmentFault):
    """Another process listens on the port."""

    code: ClassVar[str] = "port_taken"


class DataDirUnusable(EnvironmentFault):
    """The data folder is missing, full, or not ours to write."""

    code: ClassVar[str] = "data_dir_unusable"


HTTP_STATUS: Mapping[type[Exception], int] = MappingProxyType(
    {
        NotFound: 404,
        AlreadyExists: 409,
        NotAllowed: 403,
        NotSignedIn: 401,
        TooLarge: 413,
        TooManyTries: 429,
        DeliveryBusy: 429,
        RequestRefused: 422,
        BytesMissing: 409,
        TrustMissing: 409,
        ReleaseRefused: 422,
        EnrollmentRefused: 403,
        CertificateRefused: 403,
        EnvironmentFault: 503,
        FleetServerError: 500,
        ValueError: 422,  # contracts' InvalidId, DecodeError and ArtifactError, raised while reading a request
    }
)


def http_status(error: Exception) -> int:
    """Return the HTTP status of the nearest class of the error that the table names."""
    return next((HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS), 500)
