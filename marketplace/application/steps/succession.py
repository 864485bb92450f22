"""Issue a grant for the rest of another one: to the buyer of a company, or to a seller whose buyer gave hours up."""

from decimal import Decimal

from msgspec import structs

from events.grant import GrantIssued
from marketplace.application.steps.capacity import change_capacity
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import PlaceHold
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import IssueGrant
from marketplace.domain.delivery.substitution import build_returned
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.register import REGISTER, REGISTER_ID, mark_award
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import ReserveCapacity, ReturnCapacity
from marketplace.domain.supply.site import SITE
from marketplace.domain.trading.mandate_lots import require_pool_welcome
from marketplace.domain.trading.order import ORDER
from marketplace.execution.unit_of_work import UnitOfWork


def price_successor(successor: GrantIssued) -> Decimal:
    """Return the cash that a successor sets aside, in US dollars."""
    seconds = int((successor.end - successor.start).total_seconds())
    gpu_seconds = successor.nodes * successor.gpus_per_node * seconds
    return compute_totals(build_tariff(successor), gpu_seconds).startup_usd


async def issue_successor(unit: UnitOfWork, successor: GrantIssued, take: ReserveCapacity | ReturnCapacity) -> None:
    """Issue a successor, with its nodes and its cash set aside.

    Raises:
        Refusal: Refusals of the startup, the pool, the site and the account.
    """
    startup_id, grant_id, cash_usd = successor.startup_id, successor.grant_id, price_successor(successor)
    require_trader(await unit.load(PARTY, startup_id), startup_id, "startup")
    pool = await change_capacity(unit, take)
    priced = structs.replace(successor, cash_commitment_usd=cash_usd, lots=pool.reservations[grant_id].lots)
    issued = mark_award(await unit.load(REGISTER, REGISTER_ID), priced, unit.context.at)
    await unit.decide(GRANT, grant_id, IssueGrant(issued=issued))
    hold = PlaceHold(
        account_id=issued.startup_account_id,
        hold_id=issued.hold_id,
        amount_usd=cash_usd,
        purpose=grant_id,
        at=unit.context.at,
    )
    await unit.decide(ACCOUNT, issued.startup_account_id, hold)


async def give_back(unit: UnitOfWork, grant: Grant, after: Grant, grant_id: str) -> None:
    """Issue a grant of the hours that the buyer of resold capacity gives up to their seller, which pays for them again.

    Args:
        unit: The decision.
        grant: The buyer's grant.
        after: The same with its early end.
        grant_id: The id of the seller's new grant.

    Raises:
        Refusal: ``pool_unwelcome``, if the hours moved where the seller's order would not have them · refusals of
            the seller, the pool and the account.
    """
    issued, resale = grant.issued, grant.issued.resale
    assert resale is not None, "its capacity was resold"
    source = (await unit.get(GRANT, resale.grant_id)).issued
    pool = await unit.get(POOL, grant.pool_id)
    site = await unit.get(SITE, pool.opened.site_id)
    require_pool_welcome((await unit.get(ORDER, source.order_id)).terms, None, pool, site)
    take = ReturnCapacity(
        pool_id=grant.pool_id, grant_id=issued.grant_id, nodes=issued.nodes, to_grant_id=grant_id, at=after.end
    )
    await issue_successor(unit, build_returned(source, grant, grant_id, after.end), take)
