"""API keys in PostgreSQL, in the projections' database but outside their rebuilds."""

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from marketplace.execution.handler import refuse_reused
from marketplace.projections.engine.database import reachable
from marketplace.projections.engine.operations import (
    ApiKey,
    KeyChange,
    add_api_key,
    add_key_change,
    find_api_key,
    list_api_keys,
    load_api_keys,
    lock_api_key,
    lock_descendants,
    lock_issued_keys,
    update_api_key,
)


class SqlKeys:
    """Stores API keys in the table `api_keys`; implements `KeyStore`.

    Args:
        engine: A connection pool of its own, so that reads of projections do not delay key checks.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, key_id: str) -> ApiKey | None:
        """See `KeyStore.find`."""
        async with reachable(), self._engine.connect() as connection:
            return await find_api_key(connection, key_id)

    async def load(self, key_ids: Sequence[str]) -> list[ApiKey]:
        """See `KeyStore.load`."""
        async with reachable(), self._engine.connect() as connection:
            return await load_api_keys(connection, key_ids)

    async def add(self, key: ApiKey) -> bool:
        """See `KeyStore.add`."""
        async with reachable(), self._engine.begin() as connection:
            return await add_api_key(connection, key)

    async def update(
        self, key_id: str, change: Callable[[ApiKey], ApiKey], record: KeyChange | None = None
    ) -> ApiKey | None:
        """See `KeyStore.update`."""
        async with reachable(), self._engine.begin() as connection:
            key = await lock_api_key(connection, key_id)
            if key is None:
                return None
            recorded = None if record is None else await add_key_change(connection, record)
            if recorded is not None:
                if recorded != record:
                    raise refuse_reused()
                return key
            changed = change(key)
            await update_api_key(connection, changed)
            return changed

    async def revoke(
        self,
        key_id: str,
        revoke: Callable[[ApiKey], ApiKey],
        hand: Callable[[ApiKey, ApiKey], ApiKey],
        *,
        by: str,
        keeps: bool,
    ) -> Sequence[str]:
        """See `KeyStore.revoke`."""
        async with reachable(), self._engine.begin() as connection:
            key = await lock_api_key(connection, key_id)
            if key is None or (key.revoked_at is not None and keeps):
                return ()
            below = [] if keeps else await lock_descendants(connection, key_id)
            is_below = by in {each.key_id for each in below}
            ended = [] if is_below else [one for one in below if one.revoked_at is None]
            for one in ended:
                await update_api_key(connection, revoke(one))
            if key.revoked_at is not None:
                return [one.key_id for one in ended]
            handed: list[ApiKey | None] = []
            if keeps:
                handed += await lock_issued_keys(connection, key_id)
            elif (
                is_below and by != key_id and key_id in {each.key_id for each in await load_api_keys(connection, [by])}
            ):
                handed.append(await lock_api_key(connection, by))
            for each in handed:
                if each is not None:
                    await update_api_key(connection, hand(each, key))
            await update_api_key(connection, revoke(key))
            return [key_id, *(one.key_id for one in ended)]

    async def record(self, change: KeyChange) -> bool:
        """See `KeyStore.record`."""
        async with reachable(), self._engine.begin() as connection:
            return await add_key_change(connection, change) is None

    async def list(self, *, party_id: str | None, after: str, limit: int) -> list[ApiKey]:
        """See `KeyStore.list`."""
        async with reachable(), self._engine.connect() as connection:
            return await list_api_keys(connection, party_id=party_id, after=after, limit=limit)
