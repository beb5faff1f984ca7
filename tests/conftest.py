"""What tests of several packages share: a real PostgreSQL for those that ask for one."""

from __future__ import annotations

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
