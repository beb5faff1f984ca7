"""Making a server: its folder, its database, its first person, its keys."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from typing import TYPE_CHECKING

from contracts.ids import DEFAULT_TENANT
from fleet_server.database.schema import migrate
from fleet_server.database.session import open_database, transaction
from fleet_server.errors import ConfigError, DataDirUnusable
from fleet_server.identity.authority import create_authority
from fleet_server.identity.folder import IdentityFolder
from fleet_server.people import store as people
from fleet_server.people.role import Role
from fleet_server.trust.keys import KeyName, create_key, private_file, remove_key

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from fleet_server.config import ServerConfig

FIRST_USER = "admin"
SECRET_ROOM_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSecrets:
    """What is shown once: the first person's name and password, and an API token."""

    user: str
    password: str
    token: str


def refuse_second_server(data_dir: Path) -> None:
    """Return where the folder holds no server yet.

    Raises:
        ConfigError: there is one already.
    """
    if private_file(data_dir, KeyName.ONLINE).exists():
        raise ConfigError(f"{data_dir} holds a server already; run it with 'edgeship server run --data {data_dir}'")


def set_up_server(config: ServerConfig, now: datetime) -> FirstSecrets:
    """Make the server in the configuration's data folder and return its first secrets.

    Raises:
        ConfigError: there is one already.
        DataDirUnusable: the folder cannot be made or written.
        DatabaseUnreachable: the database does not answer.
    """
    data_dir = config.data_dir
    refuse_second_server(data_dir)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirUnusable(f"cannot make {data_dir}: {error.strerror}; choose another --data folder") from error
    engine = open_database(config.url)
    try:
        migrate(engine)
        password = secrets.token_urlsafe(12)
        with ExitStack() as undo:
            with transaction(engine) as session:
                token = _make_first_user(session, password, now)
                # last, so that a folder with a key is a server that was made to the end
                create_authority(IdentityFolder.of(data_dir), now)
                for name in (KeyName.DIRECTOR, KeyName.ONLINE):
                    create_key(data_dir, name)
                    undo.callback(remove_key, data_dir, name)
            undo.pop_all()
    finally:
        engine.dispose()
    return FirstSecrets(user=FIRST_USER, password=password, token=token)


def make_missing_keys(data_dir: Path) -> None:
    """Make the director's key where a server was made before there was one.

    Raises:
        DataDirUnusable: the folder cannot be written.
    """
    files = {name: private_file(data_dir, name) for name in KeyName}
    if files[KeyName.ONLINE].exists() and not files[KeyName.DIRECTOR].exists():
        create_key(data_dir, KeyName.DIRECTOR)


@contextmanager
def new_secret_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Yield what writes a secret into a new file that only its owner may read.

    Its room on the disk is taken at once, so that no secret is made that cannot be kept; the file is
    removed again where the block fails.

    Raises:
        DataDirUnusable: the file exists or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise DataDirUnusable(f"cannot write {path}: {error.strerror}; choose another --token-file") from error
    with os.fdopen(descriptor, "wb", buffering=0) as file, ExitStack() as undo:
        undo.callback(path.unlink, missing_ok=True)
        try:
            file.write(bytes(SECRET_ROOM_BYTES))
        except OSError as error:
            raise DataDirUnusable(f"cannot write {path}: {error.strerror}; free some room") from error
        yield lambda secret: _write_over(file, secret)
        undo.pop_all()


def _write_over(file: FileIO, secret: str) -> None:
    file.seek(0)
    file.truncate(file.write(f"{secret}\n".encode("ascii")))


def _make_first_user(session: Session, password: str, now: datetime) -> str:
    """Make the tenant and its administrator; return an API token of theirs."""
    people.create_tenant(session, DEFAULT_TENANT, now)
    user = people.create_user(session, DEFAULT_TENANT, FIRST_USER, password=password, role=Role.ADMIN, now=now)
    people.record_act(session, DEFAULT_TENANT, actor="server init", action="user.create", thing=FIRST_USER, now=now)
    return people.create_token(session, user, label="made by init", now=now)
