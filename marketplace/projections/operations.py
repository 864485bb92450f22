"""Rows that are not facts of the market: who may call the API, and states kept to begin from (ADR 5).

No rebuild touches them. Keys are not in the log; a snapshot only says what is, and may be thrown away at any time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import Column, Index, LargeBinary, Table, func, select, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.reading import find_one, load_all, page
from marketplace.projections.schema import METADATA, document, instant, text, whole

api_keys: Final = Table(
    "api_keys",
    METADATA,
    text("key_id", key=True),
    text("party_id", null=True),
    text("name"),
    document("scopes"),
    Column("hmac", LargeBinary, nullable=False),
    instant("created_at"),
    instant("revoked_at", null=True),
    Index("ix_api_keys_party", "party_id", "key_id"),
)


snapshots: Final = Table(
    "snapshots",
    METADATA,
    text("subject", key=True),
    text("fingerprint"),
    whole("sequence"),
    text("hash"),
    Column("content", LargeBinary, nullable=False),
)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to the API; the secret itself is kept nowhere.

    Attributes:
        key_id: The public half.
        party_id: Whom it speaks for; None for the platform.
        name: What its owner calls it.
        scopes: What it may do.
        hmac: HMAC of the secret half.
        created_at: Since when.
        revoked_at: When it was revoked; None while it works.
    """

    key_id: str
    party_id: str | None
    name: str
    scopes: tuple[str, ...]
    hmac: bytes
    created_at: datetime
    revoked_at: datetime | None


async def add_api_key(
    connection: AsyncConnection, *, key_id: str, party_id: str | None, name: str, scopes: Sequence[str], hmac: bytes
) -> bool:
    """Store a key durably, and return False where the id is taken already; nothing is changed then."""
    await connection.execute(sql("SET LOCAL synchronous_commit = on"))
    values = {"key_id": key_id, "party_id": party_id, "name": name, "scopes": list(scopes), "hmac": hmac}
    statement = (
        insert(api_keys).values(**values, created_at=func.now()).on_conflict_do_nothing().returning(api_keys.c.key_id)
    )
    return (await connection.execute(statement)).first() is not None


async def revoke_api_key(connection: AsyncConnection, key_id: str) -> bool:
    """Revoke a key for good, and return False where there is none that works."""
    await connection.execute(sql("SET LOCAL synchronous_commit = on"))
    working = (api_keys.c.key_id == key_id) & api_keys.c.revoked_at.is_(None)
    statement = update(api_keys).where(working).values(revoked_at=func.now()).returning(api_keys.c.key_id)
    return (await connection.execute(statement)).first() is not None


async def find_api_key(connection: AsyncConnection, key_id: str) -> ApiKey | None:
    """Return a key, revoked or not; None where there is none."""
    return await find_one(connection, select(api_keys).where(api_keys.c.key_id == key_id), ApiKey)


async def list_api_keys(
    connection: AsyncConnection, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[ApiKey]:
    """Return keys by id above `after`; of one party, or all."""
    query = select(api_keys).where(api_keys.c.key_id > after).order_by(api_keys.c.key_id)
    if party_id is not None:
        query = query.where(api_keys.c.party_id == party_id)
    return await load_all(connection, page(query, limit), ApiKey)
