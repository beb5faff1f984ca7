"""Which fleet server, and which token to show it: options first, then what ``fleet login`` wrote.

The session file lies in the user's own folder, mode 0600. Its token is shown to its own server only:
naming another server without a token file is refused.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from signing.connection import ServerConnection
from signing.errors import NotLoggedIn

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A server's address and the bearer token to show it."""

    server: str
    token: str = field(repr=False)


def session_path(home: Path) -> Path:
    """Return where ``fleet login`` keeps the session of the user whose home folder that is."""
    return home / ".config" / "edgeship" / "session.json"


def find_session(*, server: str | None, token_file: Path | None, home: Path) -> Session:
    """Return the session to use.

    Raises:
        NotLoggedIn: neither options nor a session file tell; or the stored token is for another server.
    """
    stored = _read_session(session_path(home))
    address = server or (stored.server if stored else None)
    if address is None:
        raise NotLoggedIn("no server is named; give --server http://HOST:PORT, or run 'edgeship fleet login' once")
    if token_file is not None:
        return Session(server=address, token=read_token(token_file))
    if stored is None or stored.server.rstrip("/") != address.rstrip("/"):
        raise NotLoggedIn(f"no token for {address}; give --token-file FILE, or run 'edgeship fleet login' for it")
    return stored


def connect(*, server: str | None, token_file: Path | None, home: Path) -> ServerConnection:
    """Return the connection of the session to use; nothing is sent yet.

    Raises:
        NotLoggedIn: as ``find_session``.
        ServerUnreachable: the address is none.
    """
    session = find_session(server=server, token_file=token_file, home=home)
    return ServerConnection(url=session.server, token=session.token)


def write_session(session: Session, home: Path) -> Path:
    """Store the session, readable by its owner alone, and return where."""
    path = session_path(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(to_plain(session), file)
    temporary.replace(path)
    return path


def read_token(path: Path) -> str:
    """Return the token in the file.

    Raises:
        NotLoggedIn: there is no such file, or what it holds is no token.
    """
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no ASCII text"
        raise NotLoggedIn(
            f"cannot read the token in {path}: {reason}; give the file that 'edgeship server init --token-file' wrote"
        ) from error
    if not token or any(letter.isspace() for letter in token):
        raise NotLoggedIn(f"{path} holds no token; it is one line, as the server's operator handed it out")
    return token


def _read_session(path: Path) -> Session | None:
    try:
        return from_plain(Session, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, DecodeError) as error:
        raise NotLoggedIn(f"{path} is no session; delete it and run 'edgeship fleet login' again") from error
