"""What the link shows to the broker: always the newest certificate, and where it was not wanted, a word about that."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Protocol

from edge_agent.identity.tls import pinned_tls

if TYPE_CHECKING:
    from edge_agent.state_folder import StateFolder


class Credentials(Protocol):
    """Where a link gets its TLS."""

    @property
    def version(self) -> int:
        """Grows with each new certificate: a session under an older one should end."""
        ...

    def tls(self) -> ssl.SSLContext:
        """Return TLS for a new session.

        Raises:
            OSError: the files cannot be read, or are no certificates.
            ValueError: the authorities are empty or not ASCII.
        """
        ...

    def note_refusal(self) -> None:
        """Know that the broker ended a session before it began: the certificate may count no more."""
        ...


class KeptCredentials:
    """The credentials in the state folder."""

    def __init__(self, state: StateFolder) -> None:
        """Read from there, each time anew."""
        self._state = state
        self._version = 0
        self._refused = threading.Event()

    @property
    def version(self) -> int:
        """Grows with each new certificate."""
        return self._version

    def tls(self) -> ssl.SSLContext:
        """Return TLS with the certificate that is there now."""
        context = pinned_tls(self._state.authority.read_text("ascii"))
        context.load_cert_chain(self._state.certificate)
        return context

    def note_refusal(self) -> None:
        """Know that the broker did not want the certificate."""
        self._refused.set()

    def refused(self) -> bool:
        """Return whether the broker did not want this certificate since it came."""
        return self._refused.is_set()

    def replaced(self) -> None:
        """Know that there is a new certificate."""
        self._refused.clear()
        self._version += 1
