"""The schema: what migrations make is what the tables say, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError, StatementError
from sqlalchemy.orm import Session

from contracts.ids import DEFAULT_TENANT, TenantId
from fleet_server.database.schema import check_schema, migrate
from fleet_server.database.session import open_database, reading, savepoint, transaction
from fleet_server.database.tables import ApiTokenRow, TenantRow
from fleet_server.errors import DatabaseUnreachable, SchemaOutdated, Unwritable
from tests.fakes.clock import START


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, TenantRow.metadata))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'fleet.db'}")


def test_the_migrated_schema_is_that_of_the_tables(engine: Engine) -> None:
    migrate(engine)

    assert differences(engine) == []
    assert foreign_keys(engine) == declared_foreign_keys()


def test_a_difference_would_be_seen(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE outbox ADD COLUMN extra INTEGER"))

    assert differences(engine) != []


@pytest.mark.slow
@pytest.mark.system
def test_the_migrated_schema_is_that_of_the_tables_on_postgresql(postgres_url: str) -> None:
    engine = open_database(postgres_url)

    migrate(engine)

    assert differences(engine) == []
    check_schema(engine)
    engine.dispose()


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    first = migrate(engine)

    assert migrate(engine) == first
    check_schema(engine)


def test_a_database_that_was_never_migrated_is_refused_with_the_command(engine: Engine) -> None:
    with pytest.raises(SchemaOutdated, match="edgeship server migrate"):
        check_schema(engine)


def test_times_keep_their_moment_and_come_back_in_utc(engine: Engine) -> None:
    migrate(engine)
    moment = datetime(2026, 11, 20, 14, 0, tzinfo=timezone(timedelta(hours=2)))

    with transaction(engine) as session:
        session.add(TenantRow(id=DEFAULT_TENANT, created_at=moment))
    with reading(engine) as session:
        found = session.get_one(TenantRow, DEFAULT_TENANT).created_at

    assert (found, found.tzinfo) == (START, UTC)


def test_a_time_without_a_zone_is_refused(engine: Engine) -> None:
    migrate(engine)

    with pytest.raises(StatementError, match="no time zone"), transaction(engine) as session:
        session.add(TenantRow(id=DEFAULT_TENANT, created_at=datetime(2026, 11, 20)))  # noqa: DTZ001 - that is the point


def test_a_transaction_that_raises_leaves_nothing(engine: Engine) -> None:
    migrate(engine)

    with pytest.raises(SQLAlchemyError), transaction(engine) as session:
        write_and_fail(session)

    with reading(engine) as session:
        assert session.get(TenantRow, DEFAULT_TENANT) is None


def test_a_savepoint_that_fails_leaves_the_rest(engine: Engine) -> None:
    migrate(engine)

    with transaction(engine) as session:
        session.add(TenantRow(id=DEFAULT_TENANT, created_at=START))
        session.flush()
        with pytest.raises(Unwritable, match="FOREIGN KEY"), savepoint(session):
            session.add_all(
                (
                    TenantRow(id=TenantId("second"), created_at=START),
                    ApiTokenRow(hash="h", user_id="nobody", label="", created_at=START),
                )
            )

    with reading(engine) as session:
        assert session.get(TenantRow, DEFAULT_TENANT) is not None
        assert session.get(TenantRow, TenantId("second")) is None


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    migrate(engine)

    with transaction(engine) as writer:
        writer.add(TenantRow(id=DEFAULT_TENANT, created_at=START))
        writer.flush()
        with reading(engine) as reader:
            assert reader.get(TenantRow, DEFAULT_TENANT) is None


@pytest.mark.parametrize("url", ["nonsense", "oracle://somewhere/x", ""])
def test_a_url_that_cannot_be_used_is_one_line(url: str) -> None:
    with pytest.raises(DatabaseUnreachable):
        open_database(url)


def test_the_password_in_the_url_is_in_no_message() -> None:
    engine = open_database("postgresql://edgeship:hunter2@127.0.0.1:9/fleet")

    with pytest.raises(DatabaseUnreachable) as refusal:
        check_schema(engine)

    assert "hunter2" not in str(refusal.value)


def write_and_fail(session: Session) -> None:
    session.add(TenantRow(id=DEFAULT_TENANT, created_at=START))
    session.flush()
    session.add(ApiTokenRow(hash="h", user_id="nobody", label="", created_at=START))


def foreign_keys(engine: Engine) -> set[tuple[str, tuple[str, ...], str]]:
    found = inspect(engine)
    return {
        (table, tuple(key["constrained_columns"]), key["referred_table"])
        for table in found.get_table_names()
        for key in found.get_foreign_keys(table)
    }


def declared_foreign_keys() -> set[tuple[str, tuple[str, ...], str]]:
    return {
        (table.name, tuple(key.column_keys), key.referred_table.name)
        for table in TenantRow.metadata.tables.values()
        for key in table.foreign_key_constraints
    }
