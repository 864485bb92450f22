"""Brings a database to the tables of this release, by the packaged Alembic migrations."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations
from marketplace.core.errors import Refusal
from marketplace.projections.engine.database import reachable


def build_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration on the packaged migrations; without a connection it can only read revisions."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Create or upgrade every table, in one transaction; a database that is up to date is left alone.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    async with reachable(), engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(build_config(sync), revision))


async def downgrade(engine: AsyncEngine, revision: str = "base") -> None:
    """Go back to an earlier revision; rows of tables that it does not know are lost.

    Projections are rebuilt from the log. API keys are not: issue them again.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    async with reachable(), engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(build_config(sync), revision))


async def is_current(engine: AsyncEngine) -> bool:
    """Return whether the database has the tables of this release.

    Raises:
        Unavailable: PostgreSQL cannot be reached.
    """
    heads = set(ScriptDirectory.from_config(build_config()).get_heads())
    async with reachable(), engine.connect() as connection:
        return heads == await connection.run_sync(_load_heads)


async def require_current(engine: AsyncEngine) -> None:
    """Return if the database has the tables of this release.

    Raises:
        Refusal: ``database_not_migrated``.
        Unavailable: PostgreSQL cannot be reached.
    """
    if not await is_current(engine):
        raise Refusal(
            "database_not_migrated",
            "the database does not have the tables of this release; run `marketplace migrate` against it first",
        )


def _load_heads(connection: Connection) -> set[str]:
    return set(MigrationContext.configure(connection).get_current_heads())
