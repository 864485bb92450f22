"""Change nodes of a pool and the power that they draw from its site in one decision.

Every change of reserved nodes goes through here, so that a site's power limits all of its pools together. Two decisions
that take nodes from two pools of one site both write the site, and the one stored second is decided again.
"""

from marketplace.core.errors import Refusal
from marketplace.domain.supply.pool import POOL, Pool, list_draws
from marketplace.domain.supply.pool_commands import CapacityCommand
from marketplace.domain.supply.site import SITE, Drawn, DrawPower
from marketplace.execution.unit_of_work import UnitOfWork


async def change_capacity(unit: UnitOfWork, *commands: CapacityCommand) -> Pool:
    """Let pools reserve, resell, hold or release nodes, and update the power drawn from their sites.

    A site checks only the difference that all commands together make.

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
        before = await unit.get(POOL, command.pool_id)
        known = len(unit.list_events(POOL, command.pool_id))
        after = await unit.decide(POOL, command.pool_id, command)
        site_id, pool_id = after.opened.site_id, command.pool_id
        for grant_id, drawn, draws_now in list_draws(before, after, unit.list_events(POOL, pool_id)[known:]):
            draws.setdefault(site_id, {})[pool_id, grant_id] = Drawn(pool_id, grant_id, draws_now)
            if (await unit.get(SITE, site_id)).drawn.get((pool_id, grant_id), ()) != drawn:
                # The pool or the site is stale. The guard of the pool's own write detects a stale pool. A site that
                # happens to hold the new draw already is not written, so nothing would detect that it is stale.
                await unit.reload(SITE, site_id)
    for site_id, changes in draws.items():
        await unit.decide(SITE, site_id, DrawPower(site_id=site_id, changes=tuple(changes.values())))
    return after


async def has_capacity(unit: UnitOfWork, command: CapacityCommand) -> bool:
    """Return whether a pool and its site would accept a command. Nothing is decided."""
    pool = await unit.get(POOL, command.pool_id)
    try:
        events = POOL.decide(command, pool)
        after = POOL.fold(events, pool)
        assert after is not None, "an open pool stays open"
        site_id, pool_id = after.opened.site_id, command.pool_id
        changes = tuple(Drawn(pool_id, grant_id, draws) for grant_id, _, draws in list_draws(pool, after, events))
        draw = DrawPower(site_id=site_id, changes=changes)
        SITE.decide(draw, await unit.load(SITE, site_id))
    except Refusal:
        return False
    return True
