"""The pools with failed nodes, and when to try again to move their grants.

If a grant found no room when its nodes failed, it is degraded. It moves as soon as its provider has room elsewhere.
"""

from collections import defaultdict
from collections.abc import Collection
from functools import singledispatchmethod

from events.lot import LotListed, LotRepriced, LotResumed, LotWithdrawn
from events.pool import PoolCapacityOffered, PoolCapacityReleased, PoolNodeFailed, PoolNodeRestored, PoolOpened
from events.types import Event

Room = PoolOpened | LotListed | LotRepriced | LotResumed | LotWithdrawn | PoolCapacityOffered | PoolCapacityReleased
"""Events that may make room, besides the repair of nodes."""


class FailedPools:
    """Follows the log."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._lots: dict[str, str] = {}
        self._failed: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)

    @singledispatchmethod
    def notice(self, event: Event) -> list[str]:
        """Apply an event. Return the failed pools of a provider whose other pools may have room now."""
        raise TypeError(f"{type(event).__name__} is no event about failed or free nodes")

    @notice.register
    def _open(self, event: PoolOpened) -> list[str]:
        self._owners[event.pool_id] = event.provider_id
        return []

    @notice.register
    def _list(self, event: LotListed) -> list[str]:
        self._lots[event.lot_id] = event.pool_id
        return []

    @notice.register
    def _withdraw(self, event: LotWithdrawn) -> list[str]:
        self._lots.pop(event.lot_id, None)
        return []

    @notice.register
    def _fail(self, event: PoolNodeFailed) -> list[str]:
        failed = self._failed[self._owners[event.pool_id]]
        key = event.pool_id, event.incident_id
        failed[key] = failed.get(key, 0) + event.nodes
        return []

    @notice.register
    def _restore(self, event: PoolNodeRestored) -> list[str]:
        failed = self._failed[self._owners[event.pool_id]]
        key = event.pool_id, event.incident_id
        failed[key] = failed.get(key, 0) - event.nodes
        if failed[key] <= 0:
            del failed[key]
        return self._list_others(event.pool_id)

    @notice.register
    def _free(self, event: PoolCapacityOffered | PoolCapacityReleased) -> list[str]:
        return self._list_others(event.pool_id)

    @notice.register
    def _sell(self, event: LotRepriced | LotResumed) -> list[str]:
        return self._list_others(self._lots[event.lot_id])

    def has_failed(self, pool_id: str) -> bool:
        """Return whether nodes of a pool are failed now."""
        return any(failed == pool_id for failed, _ in self._list_failed(pool_id))

    def _list_others(self, pool_id: str) -> list[str]:
        return sorted({other for other, _ in self._list_failed(pool_id) if other != pool_id})

    def _list_failed(self, pool_id: str) -> Collection[tuple[str, str]]:
        """Return the incidents of a pool's provider; none if the pool's first event is lost or passed over."""
        owner = self._owners.get(pool_id)
        return () if owner is None else self._failed.get(owner, ())
