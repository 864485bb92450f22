"""The engine behind the projections, and the errors that mean an outage of PostgreSQL."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from marketplace.core.errors import Unavailable

_STATEMENTS_CACHED_MAX: Final = 500
_CONNECT_SECONDS_MAX: Final = 5
_AWAY: Final = ("08", "57P", "53100", "53300", "28", "3D000")
"""SQLSTATEs: connection lost, server starts or stops, its disk is full, it has no connection left, it refuses the user
or has no such database."""
_UNDEFINED_TABLE: Final = "42P01"


class TableMissing(Unavailable):
    """A table is missing: the database was not migrated, or somebody dropped it."""


def build_engine(database_url: str, *, connections_max: int = 10, **settings: str) -> AsyncEngine:
    """Return an engine on a ``postgresql://`` URL; `settings` are server settings such as ``search_path``.

    Commits are asynchronous: rows and position of a projection are lost together in a crash of PostgreSQL, and
    projected again. Operational rows (`operations.py`) ask for a synchronous commit themselves.
    """
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    return create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=_CONNECT_SECONDS_MAX,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "timeout": _CONNECT_SECONDS_MAX,
            "prepared_statement_cache_size": _STATEMENTS_CACHED_MAX,
            "server_settings": {"synchronous_commit": "off", "timezone": "UTC", "jit": "off", **settings},
        },
    )


async def connect_driver(engine: AsyncEngine) -> "asyncpg.Connection[Any]":
    """Return a connection of the driver itself, outside the pool, for LISTEN.

    Raises:
        Unavailable: PostgreSQL does not answer.
    """
    dsn = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with reachable():
        return await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS_MAX)


@contextlib.asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Turn the errors of an unavailable PostgreSQL into `Unavailable`; let every other error through.

    Raises:
        Unavailable: The connection was refused, lost or not given in time; the server starts, stops, has a full disk
            or no tables yet, or refuses the user. The driver reports a connection that breaks during an operation as
            an internal error of its own.
    """
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Unavailable("PostgreSQL", str(error) or type(error).__name__) from error
    except asyncpg.PostgresError as error:
        _require_tables(error)
        if not _is_away(error):
            raise
        raise Unavailable("PostgreSQL", str(error)) from error
    except PoolTimeout as error:
        raise Unavailable("PostgreSQL", "every connection of the pool is busy") from error
    except DBAPIError as error:
        _require_tables(error.orig)
        if not (error.connection_invalidated or _is_away(error.orig)):
            raise
        raise Unavailable("PostgreSQL", str(error.orig)) from error


def _is_away(error: BaseException | None) -> bool:
    return _get_state(error).startswith(_AWAY)


def _require_tables(error: BaseException | None) -> None:
    if _get_state(error) == _UNDEFINED_TABLE:
        remedy = f"{error}; if the database was not migrated, run `marketplace migrate`"
        raise TableMissing("PostgreSQL", remedy) from error


def _get_state(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
