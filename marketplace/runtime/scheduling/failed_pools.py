"""The pools with failed nodes or too little power, and when to try again to move their grants.

If a grant found no room when its nodes failed or went dark, it is degraded. It moves as soon as its provider has room
elsewhere.
"""

from collections import defaultdict
from collections.abc import Collection
from functools import singledispatchmethod

from events.lot import LotListed, LotRepriced, LotResumed, LotWithdrawn
from events.pool import PoolCapacityOffered, PoolCapacityReleased, PoolNodeFailed, PoolNodeRestored, PoolOpened
from events.site import SiteConversionSlipped, SiteDerated
from events.types import Event

Room = PoolOpened | LotListed | LotRepriced | LotResumed | LotWithdrawn | PoolCapacityOffered | PoolCapacityReleased
"""Events that may make room, besides the repair of nodes."""


class FailedPools:
    """The pools with failed nodes or too little power, by provider, as the log tells them."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}
        self._lots: dict[str, str] = {}
        self._sites: dict[str, list[str]] = defaultdict(list)
        self._weak: set[str] = set()
        self._failed: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)

    @singledispatchmethod
    def notice(self, event: Event) -> list[str]:
        """Apply an event. Return the failed pools for whose grants another pool of the provider may have room now.

        Raises:
            TypeError: Events of this type concern neither nodes, power nor room.
        """
        raise TypeError(f"{type(event).__name__} is no event about failed or free nodes")

    @notice.register
    def _open(self, event: PoolOpened) -> list[str]:
        self._owners[event.pool_id] = event.provider_id
        self._sites[event.site_id].append(event.pool_id)
        if event.site_id in self._weak:
            self._failed[event.provider_id][event.pool_id, event.site_id] = 1
        return []

    @notice.register
    def _weaken(self, event: SiteDerated | SiteConversionSlipped) -> list[str]:
        """Treat the pools of a site as failed from now on. Serving them finds out whether power is missing."""
        self._weak.add(event.site_id)
        for pool_id in self._sites[event.site_id]:
            self._failed[self._owners[pool_id]][pool_id, event.site_id] = 1
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
        """Return whether nodes of a pool are failed now, or its site was ever derated or delayed."""
        return any(failed == pool_id for failed, _ in self._list_failed(pool_id))

    def list_pools(self) -> list[str]:
        """Return the pools whose nodes are failed now, or whose site was ever derated or delayed."""
        return sorted({pool_id for failed in self._failed.values() for pool_id, _ in failed})

    def _list_others(self, pool_id: str) -> list[str]:
        return sorted({other for other, _ in self._list_failed(pool_id) if other != pool_id})

    def _list_failed(self, pool_id: str) -> Collection[tuple[str, str]]:
        """Return the incidents of a pool's provider; none if the pool's first event is lost or passed over."""
        owner = self._owners.get(pool_id)
        return () if owner is None else self._failed.get(owner, ())
