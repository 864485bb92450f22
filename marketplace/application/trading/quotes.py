"""Held quotes: capacity, cash and budget are set aside until the quote is taken, released or expired.

A hold is decided on the pool itself. If two startups try to hold the last nodes, one is refused, whatever their quotes
said. The book is asked anew, so the price may differ from that of an earlier quote.
"""

from datetime import datetime, timedelta
from fractions import Fraction

from events.auction import MatchTerms
from events.grant import ResalePart
from events.order import OrderTerms
from events.quote import HoldFee, QuoteHeld
from events.schedule import ScheduleTerms
from marketplace.application.steps.access import require_decider, require_owner, require_tenant
from marketplace.application.steps.auction_supply import change_supply
from marketplace.application.steps.capacity import change_capacity, has_capacity
from marketplace.application.steps.closing import reserve_end_fees
from marketplace.application.steps.resale_ends import free_quote, pay_hold_fee
from marketplace.application.steps.two_persons import use_limit
from marketplace.application.trading.auctions import award, build_grant, find_resale, take_nodes
from marketplace.application.trading.orders import count_related_holds, draft_order, hold_cash
from marketplace.application.trading.quote_source import Quoted, QuoteSource
from marketplace.application.trading.resale_award import keep_for_sale
from marketplace.clearing.quotes.prepared_book import Placement
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, parse_ratio, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import PlaceHold
from marketplace.domain.delivery.grant import GRANT, require_resale
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import require_found
from marketplace.domain.supply.lot import LOT, Lot
from marketplace.domain.supply.placement import place_run
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import HoldCapacity, ResellCapacity, ReserveCapacity
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID, compute_fee_hold, compute_hold_fee
from marketplace.domain.trading.admission import require_hold_over, require_not_deciding
from marketplace.domain.trading.auction import AUCTION
from marketplace.domain.trading.book.book import map_steps
from marketplace.domain.trading.book.reason_text import tell_reason
from marketplace.domain.trading.order import ORDER, Order, PlaceOrder
from marketplace.domain.trading.order_terms import price_terms
from marketplace.domain.trading.quotable import refuse_unplaced, require_approved, require_unlinked
from marketplace.domain.trading.quote import QUOTE, ExpireQuote, HoldQuote, Quote, ReleaseQuote, TakeQuote
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork
from marketplace.log.port import Log


async def hold_quote(
    handler: Handler, context: Context, quoter: QuoteSource, *, startup_id: str, terms: OrderTerms, hold_seconds: int
) -> Receipt:
    """Hold the cheapest free placement for a startup.

    The price is fixed at the least value per GPU-hour at which the placement wins now. Resold nodes stay the seller's
    until the quote is taken. They are then sold as in an auction (ADR 6).

    Raises:
        Refusal: ``quote_linked`` · as `place_order` · ``market_deciding`` · ``quote_unavailable`` · refusals of the
            quote · ``quote_meets_auction`` · refusals of the pool · ``funds_insufficient`` if the seller of resold
            hours lacks what it sets aside for their sale, which its account keeps until the quote ends.
    """
    require_decider(context)
    require_tenant(context, startup_id)
    require_unlinked(terms)
    quote_id = derive_id("quo", context.command_id)
    order_id, hold_id = rename_id("ord", quote_id), rename_id("hld", quote_id)

    async def work(unit: UnitOfWork) -> None:
        order = await draft_order(unit, startup_id, terms, order_id, hold_id)
        require_approved(order)
        auction_ids = [known.opened.auction_id for known in await quoter.list_auctions()]
        collecting = [await unit.get(AUCTION, auction_id) for auction_id in auction_ids]
        for auction in collecting:
            require_not_deciding(auction, context.at)
        match = await _choose_newest(unit, handler.log, quoter, order, rename_id("grt", quote_id))
        cash_hold_usd = order.cash_hold_usd
        rules = (await unit.load(SCHEDULE, SCHEDULE_ID)).terms
        resale = await find_resale(unit, match)
        fee = await _hold_fee(
            unit, rules, quote_id, order.placed.account_id, match=match, resale=resale, hold_seconds=hold_seconds
        )
        quota, account_id = rules.orders_max, order.placed.account_id
        cost = price_terms(terms, context.at, rules.platform_fee)
        await hold_cash(unit, account_id, order_id, hold_id, cost, terms=terms, quota=quota, bought_at=context.at)
        held = QuoteHeld(
            quote_id=quote_id,
            startup_id=startup_id,
            issuer_id=order.placed.issuer_id,
            account_id=order.placed.account_id,
            hold_id=hold_id,
            terms=terms,
            cash_hold_usd=cash_hold_usd,
            budget_holds=order.budget_holds,
            split_ratio=order.split_ratio,
            match=match,
            expires_at=context.at + timedelta(seconds=hold_seconds),
            fee=fee,
            platform_fee=order.platform_fee,
        )
        hold = HoldQuote(held=held, at=context.at, order_usd_min=rules.order_usd_min)
        await unit.decide(QUOTE, quote_id, hold)
        for auction in collecting:
            require_hold_over(auction, held)
        await change_supply(unit, auction_ids, quote_id)
        await change_capacity(unit, _set_aside(match, resale))
        await _keep_for_sale(unit, order, held, resale)

    return await handler.run(context, QUOTE, quote_id, work, new=True)


async def _keep_for_sale(unit: UnitOfWork, order: Order, held: QuoteHeld, resale: ResalePart | None) -> None:
    """Keep, on the account of a seller of resold hours, what their sale takes of its money.

    Raises:
        Refusal: ``funds_insufficient``.
    """
    if resale is not None:
        pool = await unit.get(POOL, held.match.pool_id)
        bought, _ = await build_grant(unit, order, held.match, pool, resale, auction_id=None)
        await keep_for_sale(unit, bought, bought.resale or resale, cause=held.quote_id, until=held.expires_at)


async def _hold_fee(
    unit: UnitOfWork,
    rules: ScheduleTerms,
    quote_id: str,
    account_id: str,
    *,
    match: MatchTerms,
    resale: ResalePart | None,
    hold_seconds: int,
) -> HoldFee:
    """Set aside the fee for holding a match that is not taken, and return it. Its payee is the seller of the capacity.

    Raises:
        Refusal: ``holds_exhausted`` · ``funds_insufficient`` · ``limit_exceeded``.
    """
    opened, begun = (await unit.get(POOL, match.pool_id)).opened, unit.context.at
    gpu_hours = (
        match.nodes * opened.gpus_per_node * Fraction(int((match.end - match.start).total_seconds()), SECONDS_PER_HOUR)
    )
    price_usd = parse_ratio(match.price_usd_per_gpu_hour) * gpu_hours
    fee_usd = compute_hold_fee(rules, price_usd, begun, begun + timedelta(seconds=hold_seconds), match.start)
    hold_id, deposit_usd = derive_id("hld", quote_id, "fee"), compute_fee_hold(fee_usd)
    hold = PlaceHold(
        account_id=account_id,
        hold_id=hold_id,
        amount_usd=deposit_usd,
        purpose=quote_id,
        at=begun,
        quota=rules.quotes_max,
        related=await count_related_holds(unit, account_id, quote_id),
    )
    await unit.decide(ACCOUNT, account_id, hold)
    await use_limit(unit, fee_usd, unit.context.command_id)
    return HoldFee(
        hold_id=hold_id,
        payee_account_id=rename_id("acc", opened.provider_id) if resale is None else resale.seller_account_id,
        fee_usd=fee_usd,
        deposit_usd=deposit_usd,
        held_at=begun,
    )


def _set_aside(match: MatchTerms, resale: ResalePart | None) -> HoldCapacity | ReserveCapacity | ResellCapacity:
    """Return the command that keeps a match's nodes: a provider's are reserved, those of a resale lot are held."""
    if resale is None:
        return take_nodes(match, None)
    return HoldCapacity(
        pool_id=match.pool_id,
        grant_id=match.grant_id,
        lot_id=resale.lot_id,
        nodes=match.nodes,
        start=match.start,
        end=match.end,
    )


async def _choose_newest(unit: UnitOfWork, log: Log, quoter: QuoteSource, order: Order, grant_id: str) -> MatchTerms:
    """Return a placement that may be held, of the current book or, if that has none, of a newer one.

    Raises:
        Refusal: ``quote_unavailable``, or the reason why no placement serves the order.
    """
    quoted = await quoter.quote(order)
    match = await _choose(unit, quoted, grant_id)
    if match is None:
        last = (await log.health()).last_sequence
        if quoted.sequence < last:
            quoted = await quoter.quote(order, min_sequence=last)
            match = await _choose(unit, quoted, grant_id)
    if match is None:
        reason = quoted.estimate.reason
        raise refuse_unplaced(None if reason is None else tell_reason(quoted.horizon, reason))
    return match


async def _choose(unit: UnitOfWork, quoted: Quoted, grant_id: str) -> MatchTerms | None:
    """Return the first placement whose nodes are free now, at a price no lower than the asks; None if none is."""
    for placement in quoted.estimate.placements:
        match = await _match(unit, quoted, placement, grant_id)
        if match is not None:
            return match
    return None


async def _match(unit: UnitOfWork, quoted: Quoted, placement: Placement, grant_id: str) -> MatchTerms | None:
    bid = quoted.row.bids[placement.bid]
    start, end = quoted.horizon.at(placement.start_period), quoted.horizon.at(placement.end_period)
    pool = await unit.get(POOL, placement.pool_id)
    homes = map_steps(quoted.book)
    lot_ids = dict.fromkeys(homes.get(lot_id, lot_id) for lot_id in bid.lot_ids or ())
    found: list[Lot | None] = [await unit.load(LOT, lot_id) for lot_id in lot_ids]
    lots = [lot for lot in found if lot is not None and lot.status == "listed"]
    placed = place_run(pool, lots, placement.nodes, start, end)
    if placed is None or not await _is_sellable(unit, lots, placement.nodes, start, end):
        return None
    least = quoted.estimate.price_to_win_usd_per_gpu_hour if placement.displaced else None
    price = Fraction(max(placement.price_usd_per_gpu_hour, ZERO if least is None else least))
    if price < placed.floor:
        return None
    match = MatchTerms(
        grant_id=grant_id,
        pool_id=placement.pool_id,
        mandate_id=placement.mandate_id,
        nodes=placement.nodes,
        start=start,
        end=end,
        lots=placed.shares,
        value_usd_per_gpu_hour=bid.value_usd_per_gpu_hour,
        price_usd_per_gpu_hour=render_ratio(price),
    )
    resold = any(lot.listed.grant_id is not None for lot in lots)
    return match if resold or await has_capacity(unit, take_nodes(match, None)) else None


async def _is_sellable(unit: UnitOfWork, lots: list[Lot], nodes: int, start: datetime, end: datetime) -> bool:
    """Return whether every grant that lots resell may be resold now."""
    for grant_id in [lot.listed.grant_id for lot in lots if lot.listed.grant_id is not None]:
        try:
            require_resale(await unit.get(GRANT, grant_id), nodes, start, end)
        except Refusal:
            return False
    return True


async def load_quote(unit: UnitOfWork, quote_id: str) -> Quote:
    """Return a held quote of the tenant.

    Raises:
        Refusal: ``quote_unknown``.
    """
    quote = require_found("quote", quote_id, await unit.load(QUOTE, quote_id))
    require_owner(unit.context, (quote.held.startup_id,), "quote", quote_id)
    return quote


async def take_quote(handler: Handler, context: Context, quote_id: str) -> Receipt:
    """Place the order of a held quote, and turn it into a grant at the held price.

    Raises:
        Refusal: ``quote_unknown`` · refusals of the party, the quote and the order's terms · refusals of the seller's
            grant, if it may not be resold any more.
    """
    order_id = rename_id("ord", quote_id)

    async def work(unit: UnitOfWork) -> None:
        quote = await load_quote(unit, quote_id)
        held = quote.held
        require_trader(await unit.load(PARTY, held.startup_id), held.startup_id, "startup")
        await unit.decide(QUOTE, quote_id, TakeQuote(quote_id=quote_id, order_id=order_id, at=context.at))
        if quote.status == "taken":
            return
        await pay_hold_fee(unit, quote, "the quote was taken")
        place = PlaceOrder(
            order_id=order_id,
            startup_id=held.startup_id,
            issuer_id=held.issuer_id,
            account_id=held.account_id,
            hold_id=held.hold_id,
            terms=held.terms,
            cash_hold_usd=held.cash_hold_usd,
            budget_holds=held.budget_holds,
            at=context.at,
            quote_id=quote_id,
            grant_id=held.match.grant_id,
            split_ratio=held.split_ratio,
            platform_fee=held.platform_fee,
        )
        order = await unit.decide(ORDER, order_id, place)
        resale = await find_resale(unit, held.match)
        pool = await unit.get(POOL, held.match.pool_id)
        if resale is not None:
            pool = await change_capacity(unit, take_nodes(held.match, resale))
        await award(unit, order, held.match, pool, resale, auction_id=None)
        if pool.closing is not None:
            await reserve_end_fees(unit, await unit.get(POOL, held.match.pool_id))

    return await handler.run(context, QUOTE, quote_id, work)


async def release_quote(handler: Handler, context: Context, quote_id: str, *, reason: str) -> Receipt:
    """Release a held quote: pay the fee for the time that it was held, and free everything else that was set aside.

    Raises:
        Refusal: ``quote_unknown`` · ``quote_<status>`` · refusals of the payment.
    """

    async def work(unit: UnitOfWork) -> None:
        quote = await load_quote(unit, quote_id)
        after = await unit.decide(QUOTE, quote_id, ReleaseQuote(quote_id=quote_id, reason=reason, at=context.at))
        if quote.status == "held":
            await free_quote(unit, after, "the quote was released")

    return await handler.run(context, QUOTE, quote_id, work)


async def expire_quote(handler: Handler, context: Context, quote_id: str) -> Receipt:
    """End a held quote that has expired, pay its fee, and free everything else that was set aside.

    Raises:
        Refusal: ``quote_unknown`` · ``quote_<status>`` · ``quote_not_due`` · refusals of the payment.
    """

    async def work(unit: UnitOfWork) -> None:
        quote = await load_quote(unit, quote_id)
        after = await unit.decide(QUOTE, quote_id, ExpireQuote(quote_id=quote_id, at=context.at))
        if quote.status == "held":
            await free_quote(unit, after, "the quote expired")

    return await handler.run(context, QUOTE, quote_id, work)
