"""The ways in which PostgreSQL can be away are one error; all else is let through."""

import asyncpg
import pytest

from marketplace.core.errors import Unavailable
from marketplace.projections.engine.database import reachable


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("refused"),
        TimeoutError(),
        asyncpg.InterfaceError("the underlying connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidCatalogNameError("the database does not exist"),
    ],
)
async def test_a_database_that_is_away_is_unavailable(error):
    with pytest.raises(Unavailable, match="PostgreSQL"):
        async with reachable():
            raise error


@pytest.mark.parametrize("error", [asyncpg.UniqueViolationError("twice"), KeyError("ours")])
async def test_what_the_database_says_of_our_statements_is_let_through(error):
    with pytest.raises(type(error)):
        async with reachable():
            raise error
