"""The schema of a database: brought up to this version, or found not to be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from fleet_server.database.session import unreachable
from fleet_server.errors import SchemaOutdated

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection, Engine


def migrate(engine: Engine) -> str:
    """Bring the schema up to this version and return its revision; an up-to-date one stays as it is.

    Raises:
        SchemaOutdated: a newer version of edgeship made it.
        DatabaseUnreachable: the database does not answer.
    """
    from alembic import command

    try:
        with engine.connect() as connection:
            _refuse_newer(_revision_of(connection))
        with engine.begin() as connection:
            command.upgrade(_config(connection), "head")
    except OperationalError as error:
        raise unreachable(error) from error
    return newest_revision()


def check_schema(engine: Engine) -> None:
    """Accept a database whose schema is this version's.

    Raises:
        SchemaOutdated: it is older, newer or none of ours; the message names the command.
        DatabaseUnreachable: the database does not answer.
    """
    try:
        with engine.connect() as connection:
            found = _revision_of(connection)
    except OperationalError as error:
        raise unreachable(error) from error
    _refuse_newer(found)
    if found != newest_revision():
        raise SchemaOutdated(
            f"the database's schema is {found or 'not there'}, this version needs {newest_revision()}; "
            "run 'edgeship server migrate --data DIR'"
        )


def newest_revision() -> str:
    """Return the revision that this version of the code needs."""
    return _scripts().get_current_head() or ""


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
        raise SchemaOutdated(
            f"the database's schema is {found}, which a newer edgeship made; this version knows {newest_revision()}: "
            "install the newer edgeship, or restore the database from before the upgrade"
        )


def _revision_of(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
