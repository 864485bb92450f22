"""When a grant ends, withdraw its resale offers and release quotes that hold its nodes.

Nodes that were bought stay with the buyer. A seller cannot end a grant with held nodes by its own choice
(``resale_held``); an end for another reason is not refused.
"""

from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.dilution import free_order
from marketplace.application.steps.paying import pay
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold
from marketplace.domain.supply.lot import LOT, WithdrawLot
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import RecallCapacity, ReleaseCapacity
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget
from marketplace.domain.trading.quote import QUOTE, Quote, ReleaseQuote
from marketplace.domain.trading.resale import require_unheld
from marketplace.execution.unit_of_work import UnitOfWork


async def withdraw_resales(unit: UnitOfWork, pool_id: str, grant_id: str, reason: str) -> None:
    """Withdraw the unsold resale offers of a grant that ends, moves or changes hands, and release quotes on them."""
    pool = await unit.get(POOL, pool_id)
    for holder_id in pool.list_holders(grant_id):
        quote_id = rename_id("quo", holder_id)
        quote = await unit.get(QUOTE, quote_id)
        await unit.decide(QUOTE, quote_id, ReleaseQuote(quote_id=quote_id, reason=reason))
        await free_quote(unit, quote, reason)
    for lot_id in pool.list_resales(grant_id):
        await unit.decide(LOT, lot_id, WithdrawLot(lot_id=lot_id, reason=reason))
        await unit.decide(POOL, pool_id, RecallCapacity(pool_id=pool_id, lot_id=lot_id))


async def check_unheld(unit: UnitOfWork, pool_id: str, grant_id: str) -> None:
    """Refuse to take nodes of a grant that quotes hold.

    Raises:
        Refusal: ``resale_held``.
    """
    pool = await unit.get(POOL, pool_id)
    require_unheld(
        grant_id, [await unit.get(QUOTE, rename_id("quo", holder)) for holder in pool.list_holders(grant_id)]
    )


async def pay_hold_fee(unit: UnitOfWork, quote: Quote, reason: str) -> None:
    """Pay the fee of a quote that ended to the seller of its capacity, and free the rest of what was held for it.

    Raises:
        Refusal: Refusals of the accounts.
    """
    held, fee = quote.held, quote.held.fee
    if fee is None:
        return
    capture = CaptureHold(
        account_id=held.account_id,
        hold_id=fee.hold_id,
        amount_usd=quote.fee_usd,
        payee_account_id=fee.payee_account_id,
        cause=held.quote_id,
    )
    await pay(unit, capture)
    adjust = AdjustHold(account_id=held.account_id, hold_id=fee.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, held.account_id, adjust)


async def free_quote(unit: UnitOfWork, quote: Quote, reason: str) -> None:
    """Free the capacity, cash and budget of a quote that ended, and pay its fee."""
    held = quote.held
    await pay_hold_fee(unit, quote, reason)
    release = ReleaseCapacity(pool_id=held.match.pool_id, grant_id=held.match.grant_id, at=held.match.start)
    await change_capacity(unit, release)
    adjust = AdjustHold(account_id=held.account_id, hold_id=held.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, held.account_id, adjust)
    if held.terms.instrument is not None:
        await free_order(unit, held.issuer_id, rename_id("ord", held.quote_id))
    for hold in held.budget_holds:
        budget = ReleaseBudget(mandate_id=hold.mandate_id, hold_id=held.hold_id, keep_usd=ZERO, reason=reason)
        await unit.decide(MANDATE, hold.mandate_id, budget)
