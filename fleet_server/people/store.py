"""Users, API tokens and web sessions in the database; every secret there is only its hash.

Passwords are argon2id. Tokens and session cookies are 256 random bits, so SHA-256 is enough for
them; they are looked up by hash, which no timing gives away.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from contracts.ids import Digest, TenantId, digest_of
from fleet_server.database.tables import ApiTokenRow, AuditRow, TenantRow, UserRow, WebSessionRow
from fleet_server.errors import AlreadyExists, NotSignedIn
from fleet_server.people.role import Role
from fleet_server.people.user import User

if TYPE_CHECKING:
    from argon2 import PasswordHasher
    from sqlalchemy.orm import Session

SESSION_LIFETIME = timedelta(hours=12)
TOKEN_PREFIX = "es_"  # noqa: S105 - a mark that lets scanners find leaked tokens, not a secret


def new_secret() -> str:
    """Return 256 random bits as text that fits a URL."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> Digest:
    """Return what is stored of a random secret."""
    return digest_of(secret.encode())


def create_tenant(session: Session, tenant: TenantId, now: datetime) -> None:
    """Make the tenant, if there is none of that name."""
    if session.get(TenantRow, tenant) is None:
        session.add(TenantRow(id=tenant, created_at=now))
        session.flush()


def create_user(session: Session, tenant: TenantId, name: str, *, password: str, role: Role, now: datetime) -> User:
    """Make the user.

    Raises:
        AlreadyExists: there is one of that name.
    """
    if _find(session, tenant, name) is not None:
        raise AlreadyExists(f"user {name!r} exists already")
    row = UserRow(
        id=uuid.uuid4().hex,
        tenant=tenant,
        name=name,
        password_hash=_hasher().hash(password),
        role=role,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return _user(row)


def check_password(session: Session, tenant: TenantId, name: str, password: str) -> User:
    """Return the user whose password it is; a wrong name takes as long as a wrong password.

    Raises:
        NotSignedIn: no such user, or another password.
    """
    from argon2.exceptions import VerificationError

    row = _find(session, tenant, name)
    try:
        _hasher().verify(row.password_hash if row else _nobodys_hash(), password)
    except VerificationError as error:
        raise NotSignedIn("name or password is wrong") from error
    if row is None:
        raise NotSignedIn("name or password is wrong")
    return _user(row)


def create_token(session: Session, user: User, *, label: str, now: datetime) -> str:
    """Return a new API token of the user; only its hash is kept."""
    token = TOKEN_PREFIX + new_secret()
    session.add(ApiTokenRow(hash=secret_hash(token), user_id=user.id, label=label, created_at=now))
    session.flush()
    return token


def user_of_token(session: Session, token: str) -> User:
    """Return whose API token it is.

    Raises:
        NotSignedIn: nobody's.
    """
    row = session.scalar(
        select(UserRow)
        .join(ApiTokenRow, ApiTokenRow.user_id == UserRow.id)
        .where(ApiTokenRow.hash == secret_hash(token))
    )
    if row is None:
        raise NotSignedIn("the token is not valid; make one with 'edgeship server init' or ask your administrator")
    return _user(row)


def open_web_session(session: Session, user: User, *, now: datetime) -> str:
    """Return the cookie value of a new web session that lasts 12 hours; sessions that ended are swept."""
    session.execute(delete(WebSessionRow).where(WebSessionRow.expires_at <= now))
    secret = new_secret()
    session.add(
        WebSessionRow(hash=secret_hash(secret), user_id=user.id, created_at=now, expires_at=now + SESSION_LIFETIME)
    )
    session.flush()
    return secret


def user_of_web_session(session: Session, secret: str, *, now: datetime) -> User:
    """Return who is signed in with that cookie.

    Raises:
        NotSignedIn: nobody, or no longer.
    """
    row = session.scalar(
        select(UserRow)
        .join(WebSessionRow, WebSessionRow.user_id == UserRow.id)
        .where(WebSessionRow.hash == secret_hash(secret), WebSessionRow.expires_at > now)
    )
    if row is None:
        raise NotSignedIn("the session has ended; sign in again")
    return _user(row)


def close_web_session(session: Session, secret: str) -> None:
    """End the session of that cookie, if there is one."""
    session.execute(delete(WebSessionRow).where(WebSessionRow.hash == secret_hash(secret)))


def record_act(
    session: Session, tenant: TenantId, *, actor: str, action: str, thing: str, now: datetime, detail: str = ""
) -> None:
    """Write one line of the audit: who did what to which thing. Never a secret."""
    session.add(AuditRow(tenant=tenant, at=now, actor=actor, action=action, object=thing, detail=detail))


def _find(session: Session, tenant: TenantId, name: str) -> UserRow | None:
    return session.scalar(select(UserRow).where(UserRow.tenant == tenant, UserRow.name == name))


def _user(row: UserRow) -> User:
    return User(id=row.id, tenant=row.tenant, name=row.name, role=row.role)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash(new_secret())
