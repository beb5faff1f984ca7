"""What the server's tests share: a server on SQLite, and a real PostgreSQL for those that ask for one."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.fleet_server.server import SmallServer, a_server


@pytest.fixture(scope="session")
def set_up_once(tmp_path_factory: pytest.TempPathFactory) -> SmallServer:
    """A server that was set up and never used; setting one up takes argon2 and alembic a third of a second."""
    return a_server(tmp_path_factory.mktemp("template"))


@pytest.fixture
def small_server(tmp_path: Path, set_up_once: SmallServer) -> Iterator[SmallServer]:
    """A server on SQLite."""
    shutil.copytree(set_up_once.config.data_dir, tmp_path / "server")
    server = SmallServer(
        config=dataclasses.replace(set_up_once.config, data_dir=tmp_path / "server"), secrets=set_up_once.secrets
    )
    yield server
    server.engine.dispose()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """The URL, without the database's name, of a PostgreSQL cluster of our own on a free port of this machine."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.fail("PostgreSQL is not installed; 'make test' says how to get it")
    # not pytest's own folder: the server's user, who is not root, must reach it
    folder = Path(tempfile.mkdtemp(prefix="edgeship-pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    cluster, port = folder / "cluster", _free_port()
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    control = [*as_user, str(programs[-1] / "pg_ctl"), "-D", str(cluster), "-l", str(folder / "log"), "-w"]
    try:
        initdb = [*as_user, str(programs[-1] / "initdb"), "-D", str(cluster), "-U", "edgeship", "-A", "trust"]
        subprocess.run([*initdb, "-E", "UTF8", "--no-sync"], check=True, capture_output=True, cwd=folder)
        subprocess.run([*control, "-o", settings, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        yield f"postgresql://edgeship@127.0.0.1:{port}"
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_cluster: str) -> str:
    """The URL of an empty PostgreSQL database."""
    name = f"fleet_{secrets.token_hex(4)}"
    with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return f"{postgres_cluster}/{name}"


@pytest.fixture
def postgres_server(tmp_path: Path, postgres_url: str) -> Iterator[SmallServer]:
    """A server on PostgreSQL."""
    server = a_server(tmp_path, database_url=postgres_url)
    yield server
    server.engine.dispose()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
