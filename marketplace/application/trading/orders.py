"""Orders: placing one sets aside the startup's cash and each accepted mandate's budget in one atomic append.

Above what one person alone may buy, an order or its amendment is only requested, and waits for a second person; see
`marketplace.application.billing.approvals`.
"""

from collections.abc import Sequence

from events.account import OrderAct
from events.order import OrderPlaced, OrderTerms
from marketplace.application.steps.access import load_mandate, require_decider, require_tenant
from marketplace.application.steps.binding import require_order_free
from marketplace.application.steps.order_holds import (
    check_parents,
    find_split_ratio,
    hold_budgets,
    load_order,
    release_order_holds,
    set_order,
)
from marketplace.application.steps.two_persons import ask_second
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_state import UNLIMITED
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID
from marketplace.domain.trading.mandate import MANDATE, ReleaseBudget
from marketplace.domain.trading.mandate_ends import require_over
from marketplace.domain.trading.order import (
    ORDER,
    CancelOrder,
    EndMandate,
    ExpireOrder,
    OpenOrder,
    Order,
    require_open,
)
from marketplace.domain.trading.order_terms import price_terms
from marketplace.domain.trading.quotable import require_quotable
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def place_order(handler: Handler, context: Context, *, startup_id: str, terms: OrderTerms) -> Receipt:
    """Place an order for the next auction, as a startup, or as a fund for a backstop order.

    Raises:
        Refusal: Refusals of the party · of the order's terms · of its parents · ``issuer_unknown`` ·
            ``mandate_unknown`` · of each mandate · ``holds_exhausted`` · ``funds_insufficient`` · ``order_too_small`` ·
            ``scope_missing`` for a platform's key that may not decide for parties, here and in `amend_order`.
    """
    require_decider(context)
    require_tenant(context, startup_id)
    order_id = derive_id("ord", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        await _buy(unit, order_id, startup_id, terms)

    return await handler.run(context, ORDER, order_id, work, new=True)


async def _buy(unit: UnitOfWork, order_id: str, startup_id: str, terms: OrderTerms) -> None:
    """Place or amend an order. Above what one person alone may buy, ask for a second person instead."""
    account_id, at = rename_id("acc", startup_id), unit.context.at
    account, before = await unit.load(ACCOUNT, account_id), await unit.load(ORDER, order_id)
    if account is None or account.limits == UNLIMITED:
        await set_order(unit, order_id, startup_id, terms, bought_at=at)
        return
    probe = unit.branch()
    await set_order(probe, order_id, startup_id, terms, bought_at=None)
    cash_usd, owed_usd = (await probe.get(ORDER, order_id)).cash_hold_usd, price_terms(terms, at).principal_usd
    if not account.needs_second_to_buy(cash_usd + owed_usd, at, order_id, is_staged=terms.stages is not None):
        await set_order(unit, order_id, startup_id, terms, bought_at=at)
        return
    more = max(cash_usd - (ZERO if before is None else before.cash_hold_usd), ZERO)
    await ask_second(unit, account_id, OrderAct(order_id=order_id, amount_usd=more, terms=terms))


async def preview_order(
    handler: Handler, context: Context, *, startup_id: str, terms: OrderTerms, order_id: str | None = None
) -> Order:
    """Return the order that `place_order` would place; with `order_id`, what `amend_order` would make of that order.

    Nothing is set aside or stored. What the amended order holds counts as free.

    Raises:
        Refusal: ``party_unknown`` · ``order_unknown`` · ``order_<status>`` ·
            as `place_order`, except for the cash, which is needed only when the order is placed ·
            ``backstop_unquoted``.
    """
    require_tenant(context, startup_id)
    unit = UnitOfWork(handler.cache, context)
    drafted_id = derive_id("ord", context.command_id)
    hold_id = rename_id("hld", drafted_id)
    if order_id is None:
        return await draft_order(unit, startup_id, terms, drafted_id, hold_id)
    order = await load_order(unit, order_id)
    if order.placed.startup_id != startup_id:
        raise refuse_unknown("order", order_id)
    require_open(order)
    await release_order_holds(unit, order, "the order would be amended")
    return await draft_order(unit, startup_id, terms, order_id, hold_id)


async def draft_order(unit: UnitOfWork, startup_id: str, terms: OrderTerms, order_id: str, hold_id: str) -> Order:
    """Return an order that is not placed. Its budgets are set aside in the unit only.

    Raises:
        Refusal: As `place_order`, except for the cash; ``backstop_unquoted``.
    """
    require_quotable(terms)
    party = require_trader(await unit.load(PARTY, startup_id), startup_id, "startup")
    fee = (await unit.load(SCHEDULE, SCHEDULE_ID)).terms.platform_fee
    cost = price_terms(terms, unit.context.at, fee)
    await check_parents(unit, startup_id, terms)
    placed = OrderPlaced(
        order_id=order_id,
        startup_id=startup_id,
        issuer_id=rename_id("iss", startup_id),
        account_id=rename_id("acc", startup_id),
        hold_id=hold_id,
        terms=terms,
        cash_hold_usd=cost.cash_usd,
        budget_holds=await hold_budgets(unit, party, order_id, hold_id, terms, cost=cost),
        split_ratio=await find_split_ratio(unit, startup_id, terms),
        platform_fee=fee,
    )
    order = ORDER.evolve(None, placed)
    assert order is not None, "a placed order is one"
    return order


async def end_mandate(handler: Handler, context: Context, order_id: str, mandate_id: str) -> Receipt:
    """Take a mandate off an open order, and free its budget, once the mandate, its consent or the hold is over.

    An order without another mandate is cancelled. Nothing happens if the order is not open, or if the mandate holds
    nothing for it.

    Raises:
        Refusal: ``order_unknown`` · ``hold_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        order = await load_order(unit, order_id)
        hold = next((hold for hold in order.budget_holds if hold.mandate_id == mandate_id), None)
        if hold is None or not isinstance(order, OpenOrder):
            return
        mandate = await load_mandate(unit, mandate_id)
        reason = require_over(mandate, order.hold_id, context.at)
        release = ReleaseBudget(mandate_id=mandate_id, hold_id=order.hold_id, keep_usd=ZERO, reason=reason)
        await unit.decide(MANDATE, mandate_id, release)
        after = await unit.decide(ORDER, order_id, EndMandate(order_id=order_id, mandate_id=mandate_id, reason=reason))
        if after.status == "cancelled":
            await release_order_holds(unit, after, "the order was cancelled")

    return await handler.run(context, ORDER, order_id, work)


async def amend_order(
    handler: Handler, context: Context, order_id: str, *, terms: OrderTerms, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Replace the terms of an open order, and what is set aside for it.

    `auction_ids`, here and in `cancel_order`, are the auctions that are not completed.

    Raises:
        Refusal: ``order_unknown`` · ``order_locked`` from an auction's `no_cancel_at` on · ``bundle_fixed`` ·
            ``order_<status>`` · as `place_order`.
    """
    require_decider(context)

    async def work(unit: UnitOfWork) -> None:
        order = await load_order(unit, order_id)
        await require_order_free(unit, order, auction_ids)
        await _buy(unit, order_id, order.placed.startup_id, terms)

    return await handler.run(context, ORDER, order_id, work)


async def cancel_order(
    handler: Handler, context: Context, order_id: str, *, reason: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Cancel an open order, and free what was set aside for it.

    Raises:
        Refusal: ``order_unknown`` · ``order_<status>``, such as ``order_locked`` in its no-cancel phase.
    """

    async def work(unit: UnitOfWork) -> None:
        order = await load_order(unit, order_id)
        await require_order_free(unit, order, auction_ids)
        await unit.decide(ORDER, order_id, CancelOrder(order_id=order_id, reason=reason))
        await release_order_holds(unit, order, "the order was cancelled")

    return await handler.run(context, ORDER, order_id, work)


async def expire_order(handler: Handler, context: Context, order_id: str) -> Receipt:
    """End an order that has expired, and free what was set aside for it.

    Raises:
        Refusal: ``order_unknown`` · ``order_<status>`` · ``order_not_due``.
    """

    async def work(unit: UnitOfWork) -> None:
        order = await load_order(unit, order_id)
        await unit.decide(ORDER, order_id, ExpireOrder(order_id=order_id, at=context.at))
        await release_order_holds(unit, order, "the order expired")

    return await handler.run(context, ORDER, order_id, work)
