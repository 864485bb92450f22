"""Auctions: opening, freezing the book, publishing the result, and carrying out one decision per order.

A match is one atomic decision over order, pool, grant, instrument, issuer, account and mandates. If a match has become
impossible meanwhile, the order is rejected with the reason, like an order that lost.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from events.auction import Deferral, MatchTerms
from events.book import Book
from events.grant import EquityPart, GrantIssued, ResalePart
from events.order import LostMatch
from events.schedule import EndTerms
from events.types import PrincipalTerms, Reason
from marketplace.application.steps.access import load_related_issuers, require_platform
from marketplace.application.steps.capacity import change_capacity
from marketplace.application.steps.claims import claim_broken_match, compute_damages
from marketplace.application.steps.dilution import free_order, sign_instrument
from marketplace.application.steps.stages import sum_deal
from marketplace.application.trading.orders import (
    count_order,
    find_caps,
    list_prices,
    load_order,
    release_order_holds,
    take_mandate_off,
)
from marketplace.application.trading.resale_award import take_from_source
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO, parse_ratio, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold
from marketplace.domain.billing.draw import build_draw
from marketplace.domain.billing.remedies import compute_deposit
from marketplace.domain.billing.settlement import Totals, build_tariff, compute_totals
from marketplace.domain.billing.stages import compute_funding
from marketplace.domain.delivery.grant import GRANT, choose_ends, choose_resold_service, choose_service, list_notices
from marketplace.domain.delivery.grant_commands import IssueGrant
from marketplace.domain.delivery.grant_notice import bind_resale
from marketplace.domain.equity.instrument.commands import IssueInstrument
from marketplace.domain.equity.issuer.commands import RecordExposure
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.party import PARTY, ServeGroup, require_all_unsuspended
from marketplace.domain.register import REGISTER, REGISTER_ID, mark_award
from marketplace.domain.supply.lot import LOT, find_promise
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.pool_commands import ResellCapacity, ReserveCapacity
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID
from marketplace.domain.texts import shorten
from marketplace.domain.trading.admission import NO_RIVALS, Rivals, require_opening, require_precedence
from marketplace.domain.trading.auction import (
    AUCTION,
    BindAuction,
    ClearAuction,
    CompleteAuction,
    FailAuction,
    IndicateAuction,
    LockAuction,
    OpenAuction,
    require_collecting,
)
from marketplace.domain.trading.mandate import (
    MANDATE,
    CaptureBudget,
    Mandate,
    Matched,
    ReleaseBudget,
    find_unwelcome,
)
from marketplace.domain.trading.order import (
    ORDER,
    EndedOrder,
    LockOrder,
    MatchOrder,
    OpenOrder,
    Order,
    UnmatchOrder,
)
from marketplace.domain.trading.order_terms import (
    compute_credit,
    compute_principal_max,
    compute_value,
    get_offer,
    split_price,
)
from marketplace.domain.trading.parents import require_parent_matched
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

UNNEEDED: Final = "not needed at the price"
"""Why the rest of an order's holds is freed when it is matched."""


async def open_auction(
    handler: Handler,
    context: Context,
    *,
    locks_at: datetime,
    horizon_start: datetime,
    period_hours: Literal[1, 24, 120],
    periods: int,
    seed: int,
    indicative_at: datetime | None = None,
    no_cancel_at: datetime | None = None,
) -> Receipt:
    """Open an auction, which then collects orders.

    Raises:
        Refusal: ``platform_only`` · ``lock_past`` · ``horizon_before_lock`` · refusals of the auction.
    """
    require_platform(context)
    auction_id = derive_id("auc", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        require_opening(locks_at, horizon_start, context.at)
        command = OpenAuction(
            auction_id=auction_id,
            locks_at=locks_at,
            horizon_start=horizon_start,
            period_hours=period_hours,
            periods=periods,
            seed=seed,
            indicative_at=indicative_at,
            no_cancel_at=no_cancel_at,
        )
        await unit.decide(AUCTION, auction_id, command)

    return await handler.run(context, AUCTION, auction_id, work, new=True)


async def record_step(
    handler: Handler,
    context: Context,
    command: IndicateAuction | BindAuction | ClearAuction | FailAuction | CompleteAuction,
) -> Receipt:
    """Record a step of an auction that touches no other aggregate.

    Raises:
        Refusal: Refusals of the auction.
    """

    async def work(unit: UnitOfWork) -> None:
        await unit.decide(AUCTION, command.auction_id, command)

    return await handler.run(context, AUCTION, command.auction_id, work)


async def lock_order(handler: Handler, context: Context, order_id: str, auction_id: str) -> Receipt:
    """Lock an open order for an auction that collects orders, before its book is frozen.

    The issuer's dilution limit and the agreement of its holders are checked here for the last time: a limit that is set
    later does not undo the match. A mandate that would no longer pay for each of the order's offers is taken off.
    Without another one the order is cancelled, and it stays open if all that are left wait for an approval.

    Raises:
        Refusal: ``party_suspended`` · refusals of the auction, the issuer's limit and the order, such as
            ``order_cancelled``.
    """

    async def work(unit: UnitOfWork) -> None:
        auction = await unit.get(AUCTION, auction_id)
        require_collecting(auction)
        order = await unit.get(ORDER, order_id)
        require_all_unsuspended({order.placed.startup_id: await unit.load(PARTY, order.placed.startup_id)})
        if order.terms.instrument is not None:
            await _count(unit, order, order.terms.instrument)
            if isinstance(order, OpenOrder):
                order = await _end_unwilling(unit, order, order.terms.instrument, auction.opened.locks_at)
                if isinstance(order, EndedOrder) or order.waits_for_approval:
                    return
        await unit.decide(ORDER, order_id, LockOrder(order_id=order_id, auction_id=auction_id))

    return await handler.run(context, ORDER, order_id, work)


async def _count(unit: UnitOfWork, order: Order, instrument: PrincipalTerms) -> None:
    """Count an order that offers equity at its issuer, and ask again what its holders agree to, if it has any.

    An open order is recorded there in any case: a sale of the company, or its growth, that is decided at the same time
    writes the issuer too, so that one of the two sees the other (ADR 17).
    """
    issuer_id, order_id = order.placed.issuer_id, order.placed.order_id
    issuer = await unit.load(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer):
        return
    others = issuer.instruments or set(issuer.stakeholders) - {order.placed.startup_id}
    binds = isinstance(order, OpenOrder) and not issuer.is_ended
    if order_id in issuer.exposures and not others:
        if binds:
            known = issuer.exposures[order_id]
            command = RecordExposure(issuer_id=issuer_id, subject_id=order_id, exposures=known, binds=True)
            await unit.decide(ISSUER, issuer_id, command)
        return
    await count_order(
        unit,
        issuer_id,
        order_id,
        instrument,
        compute_principal_max(order.terms),
        mandate_ids=order.terms.mandate_ids,
        split_ratio=order.split_ratio,
        binds=binds,
    )


async def _end_unwilling(unit: UnitOfWork, order: Order, instrument: PrincipalTerms, locks_at: datetime) -> Order:
    """Take the mandates off an open order that would not pay for each of its offers at the lock; return the order."""
    for hold in order.budget_holds:
        mandate = await unit.get(MANDATE, hold.mandate_id)
        prices = [(offer.gpu_class, compute_value(offer, hold.equity_credit)) for offer in order.terms.offers]
        matches = [
            await _build_matched(unit, order, instrument, mandate, price, at=locks_at, locks=True) for price in prices
        ]
        is_shared = len(mandate.used_by_issuer_usd) > 1
        related_ids = await load_related_issuers(unit, mandate, order.placed.startup_id) if is_shared else ()
        reason = find_unwelcome(order.hold_id, mandate, matches, related_ids)
        if reason is not None:
            order = await take_mandate_off(unit, order, hold.mandate_id, shorten(reason))
    return order


async def check_precedence(unit: UnitOfWork, auction_id: str, rivals: Rivals) -> None:
    """Refuse to lock an auction while a rival that awards capacity of the same time is not completed.

    Raises:
        Refusal: ``auction_waits``.
    """
    if rivals == NO_RIVALS:
        return
    earlier = [await unit.get(AUCTION, rival_id) for rival_id in rivals.earlier]
    later = [await unit.get(AUCTION, rival_id) for rival_id in rivals.later]
    require_precedence(await unit.get(AUCTION, auction_id), earlier, later)


async def lock_auction(
    handler: Handler,
    context: Context,
    auction_id: str,
    *,
    book: Book,
    book_hash: str,
    deferrals: tuple[Deferral, ...] = (),
    rivals: Rivals = NO_RIVALS,
    changes: int | None = None,
) -> Receipt:
    """Freeze the book, and defer the orders that it does not admit.

    `changes` is the number of supply changes that the book includes; None if the caller does not know.

    Raises:
        Refusal: ``auction_waits`` · refusals of the auction, among them ``supply_changed``.
    """

    async def work(unit: UnitOfWork) -> None:
        await check_precedence(unit, auction_id, rivals)
        command = LockAuction(
            auction_id=auction_id, book=book, book_hash=book_hash, deferrals=deferrals, changes=changes
        )
        await unit.decide(AUCTION, auction_id, command)

    return await handler.run(context, AUCTION, auction_id, work)


async def carry_out_match(
    handler: Handler, context: Context, auction_id: str, order_id: str, match: MatchTerms
) -> Receipt:
    """Turn a match into a grant, in one append with what it takes of pool, account, mandate and issuer, and frees.

    Raises:
        Refusal: ``order_unknown`` · ``parent_unmatched`` · refusals of the aggregates that changed since the freezing.
    """

    async def work(unit: UnitOfWork) -> None:
        resale = await find_resale(unit, match)
        take = take_nodes(match, resale)
        order = await unit.decide(
            ORDER, order_id, MatchOrder(order_id=order_id, auction_id=auction_id, grant_id=match.grant_id)
        )
        if order.terms.parent_order_id is not None:
            require_parent_matched(await unit.get(ORDER, order.terms.parent_order_id))
        if order.terms.group is not None:
            await _serve_group(unit, order, order.terms.group)
        pool = await change_capacity(unit, take)
        await award(unit, order, match, pool, resale, auction_id=auction_id)

    return await handler.run(context, ORDER, order_id, work)


async def _serve_group(unit: UnitOfWork, order: Order, group: str) -> None:
    """Record on the startup that an order of its group is matched. It must be the only one of the group.

    Raises:
        Refusal: ``group_served``.
    """
    startup_id = order.placed.startup_id
    serve = ServeGroup(party_id=startup_id, group=group, order_id=order.placed.order_id)
    await unit.decide(PARTY, startup_id, serve)


async def find_resale(unit: UnitOfWork, match: MatchTerms) -> ResalePart | None:
    """Return the resale of which a match takes nodes; None if the provider sells them.

    Its `commitment_usd` and `bond_usd`, what the seller itself must add or post, are still 0.
    """
    lot = await unit.get(LOT, match.lots[0].lot_id)
    if lot.listed.grant_id is None:
        return None
    source = await unit.get(GRANT, lot.listed.grant_id)
    issued = source.issued
    return ResalePart(
        grant_id=issued.grant_id,
        lot_id=lot.listed.lot_id,
        seller_id=issued.startup_id,
        seller_account_id=issued.startup_account_id,
        hold_id=rename_id("hld", match.grant_id),
        owed_usd_per_gpu_hour=issued.price_usd_per_gpu_hour,
        commitment_usd=ZERO,
    )


def take_nodes(match: MatchTerms, resale: ResalePart | None) -> ReserveCapacity | ResellCapacity:
    """Return the command that reserves a match's nodes; for a resale, nodes of the seller's grant."""
    if resale is not None:
        return ResellCapacity(
            pool_id=match.pool_id,
            grant_id=match.grant_id,
            lot_id=resale.lot_id,
            nodes=match.nodes,
            start=match.start,
            end=match.end,
        )
    return ReserveCapacity(
        pool_id=match.pool_id,
        grant_id=match.grant_id,
        nodes=match.nodes,
        start=match.start,
        end=match.end,
        lots=match.lots,
    )


async def award(
    unit: UnitOfWork, order: Order, match: MatchTerms, pool: Pool, resale: ResalePart | None, *, auction_id: str | None
) -> None:
    """Issue the grant of a match whose nodes are reserved, keep its maximum cost, and sign its equity part.

    In cash, that is what the first stage needs. The rest of what the order held is free again.

    Raises:
        Refusal: ``party_suspended`` if the startup, the provider or the mandate's holder is suspended ·
            ``parties_related`` in an auction.
    """
    grant, totals = await build_grant(unit, order, match, pool, resale, auction_id=auction_id)
    if grant.resale is not None:
        await take_from_source(unit, grant, grant.resale)
    unit.assume_new(GRANT, match.grant_id)
    await unit.decide(GRANT, match.grant_id, IssueGrant(issued=grant))
    cash_usd = totals.startup_usd if grant.stages is None else compute_funding(grant, 1, grant.end)
    adjust = AdjustHold(
        account_id=order.placed.account_id,
        hold_id=order.hold_id,
        amount_usd=cash_usd,
        reason=UNNEEDED,
        keeps_credit=True,
    )
    await unit.decide(ACCOUNT, order.placed.account_id, adjust)
    if order.terms.instrument is not None:
        await _keep_budgets(unit, order, match, grant, totals.holder_usd)
        await free_order(unit, order.placed.issuer_id, order.placed.order_id)
    if grant.equity is not None:
        await _sign(unit, order, grant, grant.equity)


async def build_grant(
    unit: UnitOfWork, order: Order, match: MatchTerms, pool: Pool, resale: ResalePart | None, *, auction_id: str | None
) -> tuple[GrantIssued, Totals]:
    """Return the grant of a match, and what it costs at most, if all who take part in it may trade."""
    holder_ids = [hold.holder_id for hold in order.budget_holds if hold.mandate_id == match.mandate_id]
    party_ids = (order.placed.startup_id, pool.opened.provider_id, *holder_ids)
    require_all_unsuspended({party_id: await unit.load(PARTY, party_id) for party_id in party_ids})
    offer = get_offer(order.terms, pool.opened.gpu_class)  # The bid of own capacity is worth less than it.
    known = (hold.equity_credit for hold in order.budget_holds if hold.mandate_id == match.mandate_id)
    cash_share, owed = split_price(parse_ratio(match.price_usd_per_gpu_hour), offer, next(known, ZERO))
    grant = GrantIssued(
        grant_id=match.grant_id,
        order_id=order.placed.order_id,
        auction_id=auction_id,
        startup_id=order.placed.startup_id,
        provider_id=pool.opened.provider_id,
        pool_id=match.pool_id,
        gpu_class=pool.opened.gpu_class,
        nodes=match.nodes,
        gpus_per_node=pool.opened.gpus_per_node,
        start=match.start,
        end=match.end,
        lots=match.lots,
        price_usd_per_gpu_hour=match.price_usd_per_gpu_hour,
        cash_share=render_ratio(cash_share),
        startup_account_id=order.placed.account_id,
        provider_account_id=rename_id("acc", pool.opened.provider_id),
        hold_id=order.hold_id,
        cash_commitment_usd=ZERO,
        equity=None if match.mandate_id is None else await _build_equity(unit, match, match.mandate_id, owed, order),
        resale=resale,
        mark="backstop" if order.terms.backstop else None,
        platform_fee=order.platform_fee,
        stages=order.terms.stages,
    )
    seconds = int((match.end - match.start).total_seconds())
    totals = compute_totals(build_tariff(grant), match.nodes * pool.opened.gpus_per_node * seconds)
    equity = grant.equity if totals.principal_usd else None
    if equity is not None:
        equity = msgspec.structs.replace(
            equity, principal_commitment_usd=totals.principal_usd, budget_commitment_usd=totals.holder_usd
        )
    if resale is not None:
        resale = msgspec.structs.replace(resale, commitment_usd=totals.reseller_usd)
    priced = msgspec.structs.replace(
        grant,
        cash_commitment_usd=totals.startup_usd,
        equity=equity,
        resale=resale,
        credit_usd=ZERO if order.terms.credit is None else min(compute_credit(order.terms), totals.cash_usd),
    )
    marked = mark_award(await unit.load(REGISTER, REGISTER_ID), priced, unit.context.at)
    lots = [await unit.get(LOT, lot_id) for lot_id in dict.fromkeys(share.lot_id for share in match.lots)]
    service = choose_service([find_promise(lot.listed, pool.opened) for lot in lots])
    if resale is not None:
        service = choose_resold_service((await unit.get(GRANT, resale.grant_id)).issued.service)
    steps = (await unit.load(SCHEDULE, SCHEDULE_ID)).terms.ends
    ends = choose_ends(steps, marked) if resale is None else await _bind_ends(unit, steps, marked, resale)
    bound = msgspec.structs.replace(marked, service=service, ends=ends, notices=list_notices(steps))
    return bound if resale is None else await _stake(unit, bound, resale), totals


async def _stake(unit: UnitOfWork, grant: GrantIssued, resale: ResalePart) -> GrantIssued:
    """Return the grant of resold capacity with what its seller posts for it, by the ask of its lot."""
    bond_usd = compute_deposit(grant, (await unit.get(LOT, resale.lot_id)).ask_usd_per_gpu_hour)
    return msgspec.structs.replace(grant, resale=msgspec.structs.replace(resale, bond_usd=bond_usd))


async def _bind_ends(
    unit: UnitOfWork, steps: Sequence[EndTerms], grant: GrantIssued, resale: ResalePart
) -> EndTerms | None:
    """Return the end terms of resold capacity: those of the schedule, or of the seller's deal if these are stricter."""
    source = await unit.get(GRANT, resale.grant_id)
    return bind_resale(choose_ends(steps, grant), source.issued, await sum_deal(unit, source))


async def _build_equity(
    unit: UnitOfWork, match: MatchTerms, mandate_id: str, owed: Fraction, order: Order
) -> EquityPart:
    """Return the equity part of a match, of whose price the share `owed` is principal."""
    mandate = await unit.get(MANDATE, mandate_id)
    hold = next(hold for hold in order.budget_holds if hold.mandate_id == mandate_id)
    holder_id, pays = mandate.granted.holder_id, mandate.granted.funding == "cash"
    return EquityPart(
        mandate_id=mandate_id,
        holder_id=holder_id,
        holder_account_id=rename_id("acc", holder_id) if pays else None,
        instrument_id=rename_id("ins", match.grant_id),
        principal_share=render_ratio(owed),
        equity_credit=hold.equity_credit,
        principal_commitment_usd=ZERO,
        budget_commitment_usd=ZERO,
        holder_accepts=pays and not mandate.terms.startup_accepts_alone,
    )


async def _keep_budgets(
    unit: UnitOfWork, order: Order, match: MatchTerms, grant: GrantIssued, holder_usd: Decimal
) -> None:
    """Commit what the grant's mandate pays at most, and free the rest of every budget.

    Whether a mandate is still in force is judged at the lock of the auction, as when the order was locked.
    """
    at = unit.context.at
    if grant.auction_id is not None:
        at = (await unit.get(AUCTION, grant.auction_id)).opened.locks_at
    for hold in order.budget_holds:
        keep: Decimal = ZERO
        if grant.equity is not None and grant.equity.mandate_id == hold.mandate_id:
            keep = holder_usd
            assert order.terms.instrument is not None, "an order that offers equity states its instrument"
            mandate = await unit.get(MANDATE, hold.mandate_id)
            price, related = (grant.gpu_class, match.value_usd_per_gpu_hour), grant.mark == "related"
            capture = CaptureBudget(
                mandate_id=hold.mandate_id,
                hold_id=order.hold_id,
                grant_id=grant.grant_id,
                amount_usd=keep,
                matched=await _build_matched(
                    unit, order, order.terms.instrument, mandate, price, at=at, related=related
                ),
            )
            await unit.decide(MANDATE, hold.mandate_id, capture)
        release = ReleaseBudget(mandate_id=hold.mandate_id, hold_id=order.hold_id, keep_usd=keep, reason=UNNEEDED)
        await unit.decide(MANDATE, hold.mandate_id, release)


async def _build_matched(
    unit: UnitOfWork,
    order: Order,
    instrument: PrincipalTerms,
    mandate: Mandate,
    price: tuple[str, Decimal],
    *,
    at: datetime,
    related: bool = False,
    locks: bool = False,
) -> Matched:
    """Return what a mandate commits to at an instant, by the issuer, the party and the price of a class as they are.

    As an order is locked (`locks`), the other open orders of its issuer count.
    """
    issuer, party = await unit.load(ISSUER, order.placed.issuer_id), await unit.get(PARTY, order.placed.startup_id)
    caps: dict[str, Decimal | None] = {}
    if isinstance(issuer, Issuer):
        caps = find_caps(issuer, instrument, order.placed.order_id, mandate.terms, order.split_ratio)
    return Matched(
        issuer_id=order.placed.issuer_id,
        instrument=instrument,
        sector=party.registered.sector,
        stage=party.stage,
        at=at,
        implied_cap_usd=caps.get("implied_cap_usd"),
        pending_cap_usd=caps.get("pending_cap_usd") if locks else None,
        prices=await list_prices(unit, mandate.terms, [price]),
        related=related,
    )


async def _sign(unit: UnitOfWork, order: Order, grant: GrantIssued, equity: EquityPart) -> None:
    assert order.terms.instrument is not None, "an order that offers equity states its instrument"
    issue = IssueInstrument(
        instrument_id=equity.instrument_id,
        issuer_id=order.placed.issuer_id,
        holder_id=equity.holder_id,
        terms=order.terms.instrument,
        commitment_usd=equity.principal_commitment_usd,
        funding="drawdown",
        grant_id=grant.grant_id,
        mandate_id=equity.mandate_id,
        draw=build_draw(grant, order.placed.quote_id),
    )
    quoted = order.placed.quote_id is not None
    await sign_instrument(unit, issue, split_ratio=order.split_ratio, is_bound=True, by_limit=quoted)


async def carry_out_rejection(
    handler: Handler,
    context: Context,
    auction_id: str,
    order_id: str,
    *,
    reasons: tuple[Reason, ...],
    price_to_win_usd_per_gpu_hour: Decimal | None,
    lost: LostMatch | None = None,
    match: MatchTerms | None = None,
) -> Receipt:
    """Record on an order why it lost, and free its holds unless it stays open for the next auction.

    Args:
        handler: Runs the command.
        context: Who asks.
        auction_id: The auction.
        order_id: The order.
        reasons: Why; the main one first.
        price_to_win_usd_per_gpu_hour: The least value at which it would have won; None if there is none.
        lost: The match that it won and whose capacity the provider withdrew after the lock; None without one.
        match: That match; its provider owes damages, which the market claims for the startup.

    Raises:
        Refusal: ``order_unknown`` · ``order_<status>`` · ``order_locked_elsewhere``.
    """

    async def work(unit: UnitOfWork) -> None:
        before, auction = await load_order(unit, order_id), await unit.get(AUCTION, auction_id)
        broken = None if lost is None or match is None else await compute_damages(unit, match, lost)
        command = UnmatchOrder(
            order_id=order_id,
            auction_id=auction_id,
            reasons=reasons,
            price_to_win_usd_per_gpu_hour=price_to_win_usd_per_gpu_hour,
            at=context.at,
            lost=broken or lost,
            horizon_end=auction.horizon_end,
        )
        after = await unit.decide(ORDER, order_id, command)
        if broken is not None and match is not None and broken.damages_usd and before.status == "locked":
            await claim_broken_match(unit, before, match, broken)
        if after.status == "unmatched" and before.status == "locked":
            await release_order_holds(unit, before, "the order was not matched")

    return await handler.run(context, ORDER, order_id, work)
