"""Incidents: what failed nodes do to the grants of their pool, without anyone claiming it.

Where fewer nodes work than are reserved, the grants that were issued last are hit first. Each of them is moved to
another pool of its provider where one has room at no higher price; where none has, it is degraded by the nodes that are
missing. When the nodes work again it works in full again. A degradation that the provider reported itself is the
provider's to end.
"""

import hashlib
from datetime import datetime
from typing import Final

from marketplace.core.errors import Refusal
from marketplace.core.intervals import find_peak
from marketplace.domain.grant import GRANT, Grant
from marketplace.domain.pool import FOREVER, POOL, Pool
from marketplace.runtime.commands import grants
from marketplace.runtime.commands.substitution import substitute_grant
from marketplace.runtime.handler import Handler
from marketplace.runtime.stage import Stage
from marketplace.runtime.work import build_context

REASON: Final = "nodes of its pool do not work"


class Incidents:
    """Keeps the grants of a pool in step with its nodes."""

    def __init__(self, handler: Handler, stage: Stage) -> None:
        self._handler = handler
        self._stage = stage

    async def serve(self, pool_id: str) -> None:
        """Bring every running grant of a pool to the nodes that work for it now."""
        pool: Pool = (await self._handler.cache.load(POOL, pool_id)).state
        now = self._handler.clock.now()
        running = await self._list_running(pool, now)
        failed, _ = find_peak(pool.failed(), now, FOREVER)
        short = sum(grant.count_nodes(now) for grant in running) - (pool.opened.nodes - failed)
        step = _name_step(pool)
        for grant in running:
            nodes = grant.count_nodes(now)
            missing = min(max(short, 0), nodes)
            if missing and await self._move(grant, pool, step):
                short -= nodes
                continue
            short -= missing
            await self._bring_to(grant, grant.issued.nodes - missing, step, now)

    async def _list_running(self, pool: Pool, now: datetime) -> list[Grant]:
        """Return the grants that use the pool now, the last issued first."""
        found: list[Grant] = []
        for grant_id, reservation in sorted(pool.reservations.items(), reverse=True):
            if reservation.start <= now < reservation.end:
                grant: Grant | None = (await self._handler.cache.load(GRANT, grant_id)).state
                if grant is not None and grant.status in {"active", "degraded"}:
                    found.append(grant)
        return found

    async def _move(self, grant: Grant, pool: Pool, step: str) -> bool:
        """Move a grant to the first pool of its provider that has room for it; tell whether one had."""
        grant_id = grant.issued.grant_id
        for pool_id in self._stage.list_pools():
            other: Pool = (await self._handler.cache.load(POOL, pool_id)).state
            if pool_id == grant.pool_id or other.opened.provider_id != pool.opened.provider_id:
                continue
            context = build_context(self._handler, "reactor", grant_id, f"substitute/{pool_id}/{step}")
            try:
                await substitute_grant(self._handler, context, grant_id, pool_id=pool_id, reason=REASON)
            except Refusal:
                continue
            if grant.status == "degraded":
                await self._resume(grant_id, step, context.at)
            return True
        return False

    async def _bring_to(self, grant: Grant, nodes: int, step: str, now: datetime) -> None:
        grant_id = grant.issued.grant_id
        ours = grant.status == "active" or grant.reason == REASON
        if not ours or nodes == grant.nodes_available:
            return
        if nodes == grant.issued.nodes:
            await self._resume(grant_id, step, now)
            return
        context = build_context(self._handler, "reactor", grant_id, f"degrade/{nodes}/{step}")
        await grants.degrade_grant(self._handler, context, grant_id, nodes_available=nodes, at=now, reason=REASON)

    async def _resume(self, grant_id: str, step: str, now: datetime) -> None:
        context = build_context(self._handler, "reactor", grant_id, f"resume/{step}")
        await grants.resume_grant(self._handler, context, grant_id, at=now)


def _name_step(pool: Pool) -> str:
    """Name the state of a pool's incidents, so that each is answered once by whichever worker comes first."""
    told = sorted(f"{name} {one.start.isoformat()} {one.end.isoformat()}" for name, one in pool.incidents.items())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
