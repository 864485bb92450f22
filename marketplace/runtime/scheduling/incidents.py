"""Incidents: adapt the grants of a pool to nodes that failed or have no power. No party needs to ask for it.

An incident opened by evidence of a grant's GPUs affects that grant. If fewer nodes still work than the other grants
reserve, the grants issued last are affected first. Each affected grant moves to another pool of its provider that has
room at no higher price. If there is none, or an auction has frozen it, the grant is degraded by the missing nodes, and
moves as soon as there is room (`failed_pools.py`). When the nodes work again, the grant works in full again. A
degradation that the provider reported must be ended by the provider.

Nodes of a site that has less power than its grants draw are dark: it was derated, or it is not ready yet. The grants
issued last go dark first, over all pools of the site.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from marketplace.application.delivery import grants
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.supply.pool import POOL, Pool, Reservation
from marketplace.domain.supply.site import SITE, SiteState, find_next_power_change, list_dark, list_power_changes
from marketplace.execution.handler import Handler
from marketplace.execution.scheduled_context import build_context
from marketplace.runtime.scheduling.health_monitor import observe_grant
from marketplace.runtime.scheduling.market_state import MarketState
from marketplace.runtime.scheduling.relocation import move_grant, resume_in_full
from marketplace.runtime.scheduling.scheduler import Task

REASON: Final = "nodes of its pool do not work"


class Incidents:
    """Keeps the grants of a pool consistent with its nodes."""

    def __init__(self, handler: Handler, market: MarketState) -> None:
        self._handler = handler
        self._market = market

    async def run(self, task: Task) -> None:
        """Run a due task: check the evidence of a grant, or the nodes of a pool."""
        if task.kind == "observe_grant":
            await observe_grant(self._handler, self._market.observer, task.id)
        else:
            await self.serve(task.id)

    async def serve(self, pool_id: str) -> None:
        """Adapt every running grant of a pool to its working nodes, and record what is past."""
        pool: Pool = (await self._handler.cache.load(POOL, pool_id)).state
        site: SiteState = (await self._handler.cache.load(SITE, pool.opened.site_id)).state
        now = self._handler.clock.now()
        self._look_again(pool_id, site, now)
        rank = self._market.scheduler.rank_issue
        step, changes = _name_step(pool, site, now, rank), _list_changes(pool, site, now)
        running = await self._list_running(pool, now)
        staying = [grant for grant, _ in running]
        for grant, last in running:
            own = f"{step}/{last}"  # A state of the pool that returns is a new step of a grant that changed meanwhile.
            missing = _share_lack(pool, site, staying, now, rank)[grant.issued.grant_id]
            if missing and await self._move(grant, pool, site, own):
                staying.remove(grant)
                continue
            at = max(changes[-1] if changes else now, pool.reservations[grant.issued.grant_id].start)
            await self._bring_to(grant, grant.issued.nodes - missing, own, at)
        for grant_id, reservation in self._sort(pool):
            if reservation.end <= now:
                await self._close(pool, site, grant_id, [at for at in changes if at < reservation.end])
        past = [at for at in changes if at < now]
        for begin, end in pairwise([*past, now]):
            await self._record(pool, site, begin, end, step)

    async def _close(self, pool: Pool, site: SiteState, grant_id: str, changes: Sequence[datetime]) -> None:
        """Record for a degraded grant that is over how many nodes it had from the last change before its end on.

        Otherwise nodes that came back shortly before the end would count as failed until then.
        """
        cached = await self._handler.cache.load(GRANT, grant_id)
        grant: Grant | None = cached.state
        if grant is None or grant.pool_id != pool.opened.pool_id or grant.phase == "completed":
            return
        if not (changes and grant.follows_pool) or grant.is_silenced:
            return
        at, rank = max(changes[-1], pool.reservations[grant_id].start), self._market.scheduler.rank_issue
        missing = _share_lack(pool, site, await self._list_there(pool, at), at, rank).get(grant_id, 0)
        step = f"{_name_step(pool, site, at, rank)}/{cached.head.hash}"
        await self._bring_to(grant, grant.issued.nodes - missing, step, at)

    async def _move(self, grant: Grant, pool: Pool, site: SiteState, step: str) -> bool:
        """Move a grant, and return whether there was room that no auction has frozen.

        A grant without power is as dark on another pool of its site.
        """
        dark = list_dark(site, self._handler.clock.now(), self._market.scheduler.rank_issue)
        is_dark = (grant.pool_id, grant.issued.grant_id) in dark
        besides = self._market.list_site_pools(pool.opened.site_id) if is_dark else ()
        try:
            return await move_grant(self._handler, self._market, grant, reason=REASON, step=step, besides=besides)
        except Refusal as refusal:
            if refusal.code != "lot_frozen":
                raise
            return False

    def _look_again(self, pool_id: str, site: SiteState, now: datetime) -> None:
        """Schedule the next adaptation at the next change of the site's power or draw, if there is one after now."""
        if (changes_at := find_next_power_change(site, now)) is not None:
            self._market.scheduler.put(Task("serve_pool", pool_id), changes_at)

    async def _record(self, pool: Pool, site: SiteState, begin: datetime, end: datetime, step: str) -> None:
        """Record the outages of a past span for every grant that was on the pool then, also if it has left it."""
        spans = {
            grant_id: (max(begin, reservation.start), min(end, reservation.end))
            for grant_id, reservation in self._sort(pool)
            if reservation.start < end and begin < reservation.end
        }
        for at in sorted({start for start, _ in spans.values()}):
            grants_there = await self._list_there(pool, at)
            lacking = _share_lack(pool, site, grants_there, at, self._market.scheduler.rank_issue)
            for grant in grants_there:
                grant_id = grant.issued.grant_id
                start, until = spans[grant_id]
                if lacking[grant_id] and start == at:
                    await self._report_past(grant, grant.issued.nodes - lacking[grant_id], start, until, step)

    async def _list_there(self, pool: Pool, at: datetime) -> list[Grant]:
        """Return the grants that used a pool at an instant, the one issued last first."""
        there = [grant_id for grant_id, held in self._sort(pool) if held.start <= at < held.end]
        grants_there = [(await self._handler.cache.load(GRANT, grant_id)).state for grant_id in there]
        return [grant for grant in grants_there if grant is not None and grant.phase != "issued"]

    async def _report_past(self, grant: Grant, nodes: int, start: datetime, until: datetime, step: str) -> None:
        grant_id, end = grant.issued.grant_id, min(until, grant.end)
        if start < end:
            context = build_context(self._handler, "reactor", grant_id, f"past/{nodes}/{render_instant(start)}/{step}")
            await grants.degrade_grant(
                self._handler, context, grant_id, nodes_available=nodes, at=start, reason=REASON, until=end
            )

    def _sort(self, pool: Pool) -> list[tuple[str, Reservation]]:
        """Return the reservations of a pool, that of the grant issued last first."""
        rank = self._market.scheduler.rank_issue
        return sorted(pool.reservations.items(), key=lambda item: (rank(item[0]), item[0]), reverse=True)

    async def _list_running(self, pool: Pool, now: datetime) -> list[tuple[Grant, str]]:
        """Return the grants that use the pool now, last issued first, each with the hash of its last event."""
        found: list[tuple[Grant, str]] = []
        for grant_id, reservation in self._sort(pool):
            if reservation.start <= now < reservation.end:
                cached = await self._handler.cache.load(GRANT, grant_id)
                grant: Grant | None = cached.state
                if grant is None or grant.condition == "suspended" or grant.is_silenced:
                    continue
                if grant.is_running(now):
                    found.append((grant, cached.head.hash))
        return found

    async def _bring_to(self, grant: Grant, nodes: int, step: str, now: datetime) -> None:
        grant_id = grant.issued.grant_id
        ours = grant.reason is None or grant.follows_pool
        if not ours or nodes == grant.nodes_available:
            return
        if nodes == grant.issued.nodes:
            await resume_in_full(self._handler, grant_id, step, now)
            return
        context = build_context(self._handler, "reactor", grant_id, f"degrade/{nodes}/{step}")
        await grants.degrade_grant(
            self._handler, context, grant_id, nodes_available=nodes, at=now, reason=REASON, follows_pool=True
        )


def _share_lack(
    pool: Pool, site: SiteState, running: Sequence[Grant], at: datetime, rank: Callable[[str], int]
) -> dict[str, int]:
    """Return how many nodes each grant lacks at an instant; 0 for one that lacks none.

    A grant lacks its own failed nodes, and its share of the other failed nodes, in the order of `running`. If it has
    more dark nodes than that, it lacks those instead.
    """
    failed = [incident for incident in pool.incidents.values() if incident.start <= at < incident.end]
    held = {grant.issued.grant_id: grant.count_nodes(at) for grant in running}
    own = {
        grant_id: min(sum(incident.nodes for incident in failed if incident.grant_id == grant_id), nodes)
        for grant_id, nodes in held.items()
    }
    working = pool.opened.nodes - sum(incident.nodes for incident in failed)
    short = sum(held.values()) - sum(own.values()) - working
    lacking: dict[str, int] = {}
    dark = list_dark(site, at, rank)
    for grant_id, nodes in held.items():
        more = min(max(short, 0), nodes - own[grant_id])
        lack_kw = dark.get((pool.opened.pool_id, grant_id), 0)
        unpowered = -(-lack_kw // pool.opened.power_per_node_kw) if lack_kw else 0
        lacking[grant_id] = max(own[grant_id] + more, min(unpowered, nodes))
        short -= more
    return lacking


def _list_changes(pool: Pool, site: SiteState, now: datetime) -> list[datetime]:
    """Return the instants up to now at which the number of working nodes changed, in order."""
    failed = {at for one in pool.incidents.values() for at in (one.start, one.end)}
    return sorted(at for at in failed.union(list_power_changes(site)) if at <= now)


def _name_step(pool: Pool, site: SiteState, now: datetime, rank: Callable[[str], int]) -> str:
    """Return a hash of a pool's incidents and dark nodes.

    With the last event of a grant it names commands, so that each state is handled once.
    """
    told = sorted(
        f"{name} {render_instant(one.start)} {render_instant(one.end)}" for name, one in pool.incidents.items()
    )
    told += [f"{grant_id} {lack}" for (pool_id, grant_id), lack in sorted(list_dark(site, now, rank).items())]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
