"""Change nodes of a pool and the power that they draw from its site in one decision.

Every change of reserved nodes goes through here, so that a site's power limits all of its pools together. Two decisions
that take nodes from two pools of one site both write the site, and the one stored second is decided again.
"""

from collections.abc import Sequence

from events.pool import PoolCapacityReleased, PoolCapacityReserved, PoolCapacityResold
from events.types import Event
from marketplace.core.errors import Refusal
from marketplace.domain.supply.pool import POOL, HoldCapacity, Pool, ReleaseCapacity, ResellCapacity, ReserveCapacity
from marketplace.domain.supply.site import SITE, Drawn, DrawPower
from marketplace.execution.unit_of_work import UnitOfWork

CapacityCommand = ReserveCapacity | ResellCapacity | HoldCapacity | ReleaseCapacity


async def change_capacity(unit: UnitOfWork, *commands: CapacityCommand) -> Pool:
    """Let pools reserve, resell, hold or release nodes, and update the power drawn from their sites.

    The site sees only the difference of all commands. A grant can therefore move within a site that already draws more
    than its lowered power allows, as long as the sum does not rise.

    Args:
        unit: The decision.
        commands: At least one command.

    Returns:
        The pool of the last command.

    Raises:
        Refusal: Refusals of the pool · ``site_power_exceeded``.
    """
    draws: dict[str, dict[tuple[str, str], Drawn]] = {}
    for command in commands:
        before = await unit.load(POOL, command.pool_id)
        known = len(unit.list_events(POOL, command.pool_id))
        after = await unit.decide(POOL, command.pool_id, command)
        assert before is not None, "only an open pool decides"
        for change in _list_drawn(after, unit.list_events(POOL, command.pool_id)[known:]):
            draws.setdefault(after.opened.site_id, {})[change.pool_id, change.grant_id] = change
            await _require_known(unit, before, change.grant_id)
    for site_id, changes in draws.items():
        await unit.decide(SITE, site_id, DrawPower(site_id=site_id, changes=tuple(changes.values())))
    return after


async def _require_known(unit: UnitOfWork, pool: Pool, grant_id: str) -> None:
    """Reload the site if its draw for the grant differs from the pool's, because one of the two is stale.

    A stale pool is detected by the guard of its own write. A stale site is not: if it happens to hold the new draw
    already, nothing is written to it, and so nothing guards it.
    """
    site_id, key = pool.opened.site_id, (pool.opened.pool_id, grant_id)
    site = await unit.get(SITE, site_id)
    if site.drawn.get(key, ()) != pool.list_drawn(grant_id):
        await unit.reload(SITE, site_id)


async def has_capacity(unit: UnitOfWork, command: CapacityCommand) -> bool:
    """Return whether a pool and its site would accept a command, without deciding it."""
    pool = await unit.get(POOL, command.pool_id)
    try:
        events = POOL.decide(command, pool)
        after = POOL.fold(events, pool)
        assert after is not None, "an open pool stays open"
        site_id = after.opened.site_id
        draw = DrawPower(site_id=site_id, changes=_list_drawn(after, events))
        SITE.decide(draw, await unit.load(SITE, site_id))
    except Refusal:
        return False
    return True


def _list_drawn(after: Pool, events: Sequence[Event]) -> tuple[Drawn, ...]:
    """Return, after the events, the power draw of every grant whose reservation changes."""
    grant_ids: dict[str, None] = {}
    for event in events:
        if isinstance(event, PoolCapacityReserved | PoolCapacityResold | PoolCapacityReleased):
            grant_ids[event.grant_id] = None
        if isinstance(event, PoolCapacityResold):
            grant_ids[event.grant_id_before] = None
    return tuple(Drawn(after.opened.pool_id, grant_id, after.list_drawn(grant_id)) for grant_id in grant_ids)
