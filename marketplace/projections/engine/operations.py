"""Rows that no projection makes: API keys, and snapshots of states (ADR 5).

No rebuild touches them. Keys are not in the log. A snapshot only repeats what the log says, and may be deleted at any
time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec
from sqlalchemy import Column, Index, LargeBinary, Table, Text, any_, func, literal, select, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.projections.engine.queries import find_one, load_all, page
from marketplace.projections.engine.schema import METADATA, document, instant, text, whole

api_keys: Final = Table(
    "api_keys",
    METADATA,
    text("key_id", key=True),
    text("party_id", null=True),
    text("person", null=True),
    text("named_by", null=True),
    text("issued_by", null=True),
    text("descends_from", null=True),
    text("name"),
    document("scopes"),
    Column("hmac", LargeBinary, nullable=False),
    instant("created_at"),
    instant("expires_at"),
    instant("suspended_at", null=True),
    instant("revoked_at", null=True),
    Index("ix_api_keys_party", "party_id", "key_id"),
    Index("ix_api_keys_issuer", "issued_by"),
    Index("ix_api_keys_descent", "descends_from"),
)

api_key_changes: Final = Table(
    "api_key_changes",
    METADATA,
    text("command_id", key=True),
    text("key_id"),
    text("change"),
    text("reason"),
    text("actor"),
    instant("at"),
)


snapshots: Final = Table(
    "snapshots",
    METADATA,
    text("subject", key=True),
    whole("version"),
    whole("sequence"),
    text("hash"),
    Column("content", LargeBinary, nullable=False),
)


CHAIN_MAX: Final = 16
"""The most keys of which each issued the next."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. Its secret is stored nowhere.

    Attributes:
        key_id: The public half.
        party_id: The party that it acts for; None for the platform.
        name: What its owner calls it.
        scopes: What it may do.
        hmac: Seal of the secret half and of what the key may do, under the server's secret.
        created_at: Since when.
        expires_at: When it stops working.
        person: Who acts with it, by the party's own identifier; None if nobody was named.
        named_by: The operator that issued it: a person of the platform, or a key that names nobody. None if that was
            the first key, from the settings.
        issued_by: The key that it ends with: the one that issued it, or the next one to which it was handed. None for
            the first key, which stands in no table.
        descends_from: The key that issued it, also where it was handed on since.
        suspended_at: Since when it is suspended; None while it is not.
        revoked_at: When it was revoked for good; None while it was not.
    """

    key_id: str
    party_id: str | None
    name: str
    scopes: tuple[str, ...]
    hmac: bytes
    created_at: datetime
    expires_at: datetime
    person: str | None = None
    named_by: str | None = None
    issued_by: str | None = None
    descends_from: str | None = None
    suspended_at: datetime | None = None
    revoked_at: datetime | None = None


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """The suspension or resumption of a key, or a sign-in by a one-time link.

    Attributes:
        command_id: The command that did it, or the link; a repeat of it changes nothing.
        key_id: The key.
        change: ``suspended``, ``resumed`` or ``signed_in``.
        reason: Why.
        actor: Who did it.
    """

    command_id: str
    key_id: str
    change: Literal["suspended", "resumed", "signed_in"]
    reason: str
    actor: str


async def add_api_key(connection: AsyncConnection, key: ApiKey) -> bool:
    """Store a key durably. Return False, and change nothing, if the id is taken."""
    await connection.execute(sql("SET LOCAL synchronous_commit = on"))
    values = msgspec.structs.asdict(key) | {"scopes": list(key.scopes)}
    statement = insert(api_keys).values(values).on_conflict_do_nothing().returning(api_keys.c.key_id)
    return (await connection.execute(statement)).first() is not None


async def lock_api_key(connection: AsyncConnection, key_id: str) -> ApiKey | None:
    """Return a key, locked until this transaction ends, which commits durably; None if it does not exist."""
    await connection.execute(sql("SET LOCAL synchronous_commit = on"))
    return await find_one(connection, select(api_keys).where(api_keys.c.key_id == key_id).with_for_update(), ApiKey)


async def update_api_key(connection: AsyncConnection, key: ApiKey) -> None:
    """Store the state of a key, what it ends with, and its seal."""
    values = {
        "hmac": key.hmac,
        "issued_by": key.issued_by,
        "suspended_at": key.suspended_at,
        "revoked_at": key.revoked_at,
    }
    await connection.execute(update(api_keys).where(api_keys.c.key_id == key.key_id).values(values))


async def add_key_change(connection: AsyncConnection, change: KeyChange) -> KeyChange | None:
    """Record a change durably, and return None. If its command was recorded before, return that record instead."""
    await connection.execute(sql("SET LOCAL synchronous_commit = on"))
    values = {**msgspec.structs.asdict(change), "at": func.now()}
    statement = insert(api_key_changes).values(values).on_conflict_do_nothing().returning(api_key_changes.c.command_id)
    if (await connection.execute(statement)).first() is not None:
        return None
    query = select(api_key_changes).where(api_key_changes.c.command_id == change.command_id)
    return await find_one(connection, query, KeyChange)


async def find_api_key(connection: AsyncConnection, key_id: str) -> ApiKey | None:
    """Return a key in any state, or None if there is no such key."""
    return await find_one(connection, select(api_keys).where(api_keys.c.key_id == key_id), ApiKey)


async def load_api_keys(connection: AsyncConnection, key_ids: Sequence[str]) -> list[ApiKey]:
    """Return the keys among these that exist, and those that they end with, whatever their state."""
    asked = select(api_keys.c.key_id, api_keys.c.issued_by, literal(1).label("depth"))
    chain = asked.where(api_keys.c.key_id == any_(literal(list(key_ids), ARRAY(Text)))).cte("chain", recursive=True)
    further = select(api_keys.c.key_id, api_keys.c.issued_by, chain.c.depth + 1)
    above = further.join(chain, api_keys.c.key_id == chain.c.issued_by).where(chain.c.depth < CHAIN_MAX)
    found = select(chain.union(above).c.key_id)
    return await load_all(connection, select(api_keys).where(api_keys.c.key_id.in_(found)), ApiKey)


async def lock_issued_keys(connection: AsyncConnection, key_id: str) -> list[ApiKey]:
    """Return the keys that a key issued itself, locked until this transaction ends."""
    query = select(api_keys).where(api_keys.c.issued_by == key_id).order_by(api_keys.c.key_id).with_for_update()
    return await load_all(connection, query, ApiKey)


async def lock_descendants(connection: AsyncConnection, key_id: str) -> list[ApiKey]:
    """Return what a key issued, at any distance, also where it was handed on since; locked as by `lock_issued_keys`."""
    named = select(api_keys.c.key_id)
    below = named.where(api_keys.c.descends_from == key_id).cte("below", recursive=True)
    further = named.join(below, api_keys.c.descends_from == below.c.key_id)
    found = select(below.union(further).c.key_id)
    query = select(api_keys).where(api_keys.c.key_id.in_(found)).order_by(api_keys.c.key_id).with_for_update()
    return await load_all(connection, query, ApiKey)


async def list_api_keys(
    connection: AsyncConnection, *, party_id: str | None = None, after: str = "", limit: int = 100
) -> list[ApiKey]:
    """Return keys by id above `after`; of one party, or all."""
    query = select(api_keys).where(api_keys.c.key_id > after).order_by(api_keys.c.key_id)
    if party_id is not None:
        query = query.where(api_keys.c.party_id == party_id)
    return await load_all(connection, page(query, limit), ApiKey)
