"""Keep on a provider's account the fees of the ends that the announced closing of a pool brings."""

from decimal import Decimal
from fractions import Fraction

from marketplace.application.steps.stages import sum_deal
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Reserve
from marketplace.domain.delivery.grant import GRANT, find_fee
from marketplace.domain.delivery.grant_commands import TerminateGrant
from marketplace.domain.delivery.grant_notice import require_notice
from marketplace.domain.supply.pool import FEES_KEPT, Pool
from marketplace.execution.unit_of_work import UnitOfWork


async def reserve_end_fees(unit: UnitOfWork, pool: Pool, *, keeps_notice: bool = False) -> Decimal:
    """Keep the fees of the ends of a pool's grants at its announced closing, in place of what was kept for them.

    Returns the USD by which they are more than that.

    Args:
        unit: The decision.
        pool: The pool, whose closing is announced.
        keeps_notice: Whether to refuse a closing before the notice that was promised to a grant is over.

    Raises:
        Refusal: ``notice_too_short``.
    """
    closing, pool_id = pool.closing, pool.opened.pool_id
    assert closing is not None, "notice was given"
    fees_usd, account_id, deals = ZERO, rename_id("acc", pool.opened.provider_id), dict[str, Fraction]()
    for grant_id, reservation in pool.reservations.items():
        grant = await unit.load(GRANT, grant_id)
        if grant is None or grant.pool_id != pool_id or reservation.end <= closing.closes_at:
            continue
        payer_id = grant.issued.startup_account_id
        if payer_id not in deals:
            deals[payer_id] = await sum_deal(unit, grant)
        end = TerminateGrant(
            grant_id=grant_id,
            at=closing.closes_at,
            by="provider",
            noticed_at=closing.announced_at,
            reason="closing",
            deal_usd=deals[payer_id],
        )
        if keeps_notice:
            require_notice(end, grant.issued, closing.closes_at, grant.end)
        fees_usd += find_fee(end, grant, closing.closes_at).fee_usd
    account, until = await unit.load(ACCOUNT, account_id), closing.closes_at + FEES_KEPT
    kept_usd, _ = (ZERO, None) if account is None else account.reserves.get(pool_id, (ZERO, None))
    await unit.decide(
        ACCOUNT, account_id, Reserve(account_id=account_id, amount_usd=fees_usd, until=until, cause=pool_id)
    )
    return max(fees_usd - kept_usd, ZERO)
