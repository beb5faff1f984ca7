"""What can go wrong between a packed artifact and a published release.

    SigningError
    ├── SigningKeyError         the release engineer's keys
    │   ├── KeyMissing          no key file at that place
    │   ├── KeyExists           creating it would overwrite one
    │   ├── KeyUnreadable       not a key file, or open to other users of the machine
    │   ├── WeakPassphrase      too short to protect a key
    │   ├── WrongPassphrase     the passphrase does not open the key
    │   ├── WrongKey            a good key, but not one that this role's metadata name
    │   ├── RoleUnknown         no role of that name has keys here
    │   ├── KeyRefused          the key, or the threshold, cannot become the role's
    │   └── TokenUnusable       a PKCS#11 token, or the library for it, does not do its part
    ├── RepositoryError         the folder
    │   ├── RepositoryMissing   no release repository at that place
    │   ├── RepositoryExists    creating it would overwrite one
    │   ├── DraftRefused        the artifact cannot become part of a release
    │   ├── NothingDrafted      nothing to sign
    │   ├── NothingSigned       nothing to publish
    │   ├── RepositoryDamaged   a file is missing or differs from what was signed
    │   ├── CeremonyOpen        metadata wait for signatures, and must not change meanwhile
    │   ├── NothingPending      nothing waits for signatures
    │   ├── ReleaseMissing      no listing has the release
    │   ├── CopyDiffers         a copy of the repository says something else at the same version
    │   └── MetadataExpired     signed metadata is past its time
    └── ServerError             the road to the fleet server
        ├── NotLoggedIn         no server named, or no token to show it
        ├── ServerUnreachable   no answer
        ├── ServerRefused       an answer, and it says no
        └── ServerConfusing     an answer that is not the API's

Each message names the thing, the value and the next action; ``code`` is a stable word for programs.
"""

from __future__ import annotations

from typing import ClassVar


class SigningError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "signing"


class SigningKeyError(SigningError):
    """Something is wrong with a private or public key."""

    code: ClassVar[str] = "key"


class KeyMissing(SigningKeyError):
    """No key file at that place."""

    code: ClassVar[str] = "key_missing"


class KeyExists(SigningKeyError):
    """Creating the key would overwrite one."""

    code: ClassVar[str] = "key_exists"


class KeyUnreadable(SigningKeyError):
    """Not a key file, or open to other users of the machine."""

    code: ClassVar[str] = "key_unreadable"


class WeakPassphrase(SigningKeyError):
    """Too short to protect a key."""

    code: ClassVar[str] = "weak_passphrase"


class WrongPassphrase(SigningKeyError):
    """The passphrase does not open the key."""

    code: ClassVar[str] = "wrong_passphrase"


class WrongKey(SigningKeyError):
    """A good key, but not one that this role's metadata name."""

    code: ClassVar[str] = "wrong_key"


class RoleUnknown(SigningKeyError):
    """No role of that name has keys here."""

    code: ClassVar[str] = "role_unknown"


class KeyRefused(SigningKeyError):
    """The key, or the threshold, cannot become the role's."""

    code: ClassVar[str] = "key_refused"


class TokenUnusable(SigningKeyError):
    """A PKCS#11 token, or the library for it, does not do its part."""

    code: ClassVar[str] = "token_unusable"


class RepositoryError(SigningError):
    """Something is wrong with the release repository."""

    code: ClassVar[str] = "repository"


class RepositoryMissing(RepositoryError):
    """No release repository at that place."""

    code: ClassVar[str] = "repository_missing"


class RepositoryExists(RepositoryError):
    """Creating the repository would overwrite one."""

    code: ClassVar[str] = "repository_exists"


class DraftRefused(RepositoryError):
    """The artifact cannot become part of a release."""

    code: ClassVar[str] = "draft_refused"


class NothingDrafted(RepositoryError):
    """Nothing to sign."""

    code: ClassVar[str] = "nothing_drafted"


class NothingSigned(RepositoryError):
    """Nothing to publish."""

    code: ClassVar[str] = "nothing_signed"


class RepositoryDamaged(RepositoryError):
    """A file is missing or differs from what was signed."""

    code: ClassVar[str] = "repository_damaged"


class CeremonyOpen(RepositoryError):
    """Metadata wait for signatures, and must not change meanwhile."""

    code: ClassVar[str] = "ceremony_open"


class NothingPending(RepositoryError):
    """Nothing waits for signatures."""

    code: ClassVar[str] = "nothing_pending"


class ReleaseMissing(RepositoryError):
    """No listing has the release."""

    code: ClassVar[str] = "release_missing"


class CopyDiffers(RepositoryError):
    """A copy of the repository says something else at the same version."""

    code: ClassVar[str] = "copy_differs"


class MetadataExpired(RepositoryError):
    """Signed metadata is past its time."""

    code: ClassVar[str] = "metadata_expired"


class ServerError(SigningError):
    """The fleet server did not do what was asked."""

    code: ClassVar[str] = "server"


class NotLoggedIn(ServerError):
    """No server named, or no token to show it."""

    code: ClassVar[str] = "not_logged_in"


class ServerUnreachable(ServerError):
    """No answer."""

    code: ClassVar[str] = "server_unreachable"


class ServerConfusing(ServerError):
    """An answer that is not the API's."""

    code: ClassVar[str] = "server_confusing"


class ServerRefused(ServerError):
    """An answer, and it says no.

    ``status`` is HTTP's; ``reason`` the server's stable word for why; ``sentence`` its explanation.
    """

    code: ClassVar[str] = "server_refused"

    def __init__(self, message: str, *, status: int, reason: str, sentence: str) -> None:
        """Keep the server's own words apart from our sentence around them."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.sentence = sentence
