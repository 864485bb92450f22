"""Runs migrations on the database that the caller connected, or on MARKETPLACE_DATABASE_URL from the command line."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text

from marketplace.core.errors import Refusal
from marketplace.projections.engine.database import build_engine
from marketplace.projections.registry import SCHEMA

LOCK = 0x6D61726B6574  # "market": one migration at a time, whoever starts it


def run(connection: Connection) -> None:
    """Run the migrations that were asked for in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=SCHEMA,
        compare_type=True,
        compare_server_default=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()


async def run_on_url() -> None:
    """Connect by the environment and run."""
    url = os.environ.get("MARKETPLACE_DATABASE_URL")
    if not url:
        raise Refusal("database_url_missing", "set MARKETPLACE_DATABASE_URL to a postgresql:// URL")
    engine = build_engine(url, connections_max=1)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


def start() -> None:
    """Use the caller's connection where there is one."""
    connection: Connection | None = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
    elif context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=SCHEMA, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
    else:
        asyncio.run(run_on_url())


start()
