"""What the server's tests share: a server on SQLite, and one on PostgreSQL."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def postgres_server(tmp_path: Path, postgres_url: str) -> Iterator[SmallServer]:
    """A server on PostgreSQL."""
    server = a_server(tmp_path, database_url=postgres_url)
    yield server
    server.engine.dispose()
