"""API keys in PostgreSQL, which they share with the projections but are not rebuilt with."""

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.projections.database import reachable
from marketplace.projections.operations import (
    ApiKey,
    add_api_key,
    api_keys,
    find_api_key,
    list_api_keys,
    revoke_api_key,
)
from marketplace.projections.reading import load_all


class SqlKeys:
    """Implements `KeyStore` on the operational table."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, key_id: str) -> ApiKey | None:
        """See `KeyStore.find`."""
        async with reachable(), self._engine.connect() as connection:
            return await find_api_key(connection, key_id)

    async def load_changes(self, since: datetime | None, limit: int) -> list[ApiKey]:
        """See `KeyStore.load_changes`."""
        query: Any = select(api_keys).order_by(api_keys.c.created_at.desc()).limit(limit)
        if since is not None:
            query = query.where(or_(api_keys.c.created_at >= since, api_keys.c.revoked_at >= since))
        async with reachable(), self._engine.connect() as connection:
            return await load_all(connection, query, ApiKey)

    async def add(self, key: ApiKey) -> bool:
        """See `KeyStore.add`."""
        async with reachable(), self._engine.begin() as connection:
            return await add_api_key(
                connection,
                key_id=key.key_id,
                party_id=key.party_id,
                name=key.name,
                scopes=key.scopes,
                hmac=key.hmac,
            )

    async def revoke(self, key_id: str) -> None:
        """See `KeyStore.revoke`."""
        async with reachable(), self._engine.begin() as connection:
            await revoke_api_key(connection, key_id)

    async def list(self, *, party_id: str | None, after: str, limit: int) -> list[ApiKey]:
        """See `KeyStore.list`."""
        async with reachable(), self._engine.connect() as connection:
            return await list_api_keys(connection, party_id=party_id, after=after, limit=limit)
