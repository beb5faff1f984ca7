"""The way into the database: one engine a process, one transaction at a time.

SQLite (the default) runs in WAL mode with foreign keys on; a transaction there takes the write lock
when it begins (BEGIN IMMEDIATE), so two writers wait for each other instead of failing half way.
PostgreSQL comes by URL; the same code runs on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from fleet_server.errors import DatabaseUnreachable, Unwritable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT_MS = 10_000


def open_database(url: str) -> Engine:
    """Return an engine for the URL; nothing is connected yet.

    Raises:
        DatabaseUnreachable: the URL is none that we can use.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise DatabaseUnreachable(
            "the database URL cannot be read; write sqlite:///PATH or postgresql://USER:SECRET@HOST/NAME"
        ) from error
    raise DatabaseUnreachable(f"no driver for a {parsed.get_backend_name()} database; use sqlite or postgresql")


def _open_sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # the driver's own transactions are switched off: _begin_sqlite says when one starts, and how
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Yield a session whose changes are committed together at the end, or not at all.

    Raises:
        DatabaseUnreachable: the database does not answer, or stays locked for 10 s.
    """
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except OperationalError as error:
        raise unreachable(error) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Yield a session that only reads, from one consistent moment; it never waits for a writer.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    try:
        with Session(engine.execution_options(reading=True)) as session:
            yield session  # closing ends the transaction; what was read stays readable
    except OperationalError as error:
        raise unreachable(error) from error


def check_answers(engine: Engine) -> None:
    """Accept a database that answers.

    Raises:
        DatabaseUnreachable: it does not.
    """
    with reading(engine) as session:
        session.execute(text("SELECT 1"))


@contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """Write what is done inside, or none of it; the transaction around it goes on either way.

    Raises:
        Unwritable: the database refuses a value.
    """
    try:
        with session.begin_nested():
            yield
            session.flush()
    except OverflowError as error:  # SQLite's driver, of a number over 64 bits
        raise Unwritable("the database refuses a value (a number over 64 bits)") from error
    except (DataError, IntegrityError) as error:
        raise Unwritable(f"the database refuses a value ({_first_line(error)})") from error


def unreachable(error: OperationalError) -> DatabaseUnreachable:
    """Return the error in the server's words; the URL, which may hold a secret, is not among them."""
    return DatabaseUnreachable(
        f"the database does not answer ({_first_line(error)}); check that it is there and has room"
    )


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else "no reason given"
