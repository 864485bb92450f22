"""Orders: placing one sets aside the startup's cash and each accepted mandate's budget in one atomic append.

Above what one person alone may buy, an order or its amendment is only requested, and waits for a second person; see
`marketplace.application.billing.approvals`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from events.account import OrderAct
from events.issuer_dilution import Exposure
from events.mandate import MandateTerms
from events.order import BudgetHold, OrderPlaced, OrderTerms
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms
from marketplace.application.steps.access import (
    load_mandate,
    load_related_issuers,
    require_decider,
    require_owner,
    require_tenant,
    require_unfrozen,
)
from marketplace.application.steps.binding import require_order_free
from marketplace.application.steps.dilution import free_order
from marketplace.application.steps.two_persons import ask_second
from marketplace.core.ids import derive_id, is_id, rename_id
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, PlaceHold
from marketplace.domain.billing.account_state import UNLIMITED
from marketplace.domain.equity.issuer.commands import RecordExposure
from marketplace.domain.equity.issuer.implied_value import find_implied_cap
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.preemption import list_outweighed_by_order
from marketplace.domain.party import PARTY, Party, require_buyer, require_trader
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.domain.supply.pricelist import PRICELIST, find_list_price
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID
from marketplace.domain.trading.mandate import MANDATE, HoldBudget, ReleaseBudget
from marketplace.domain.trading.mandate_ends import require_over
from marketplace.domain.trading.mandate_rules import OfferedPrice
from marketplace.domain.trading.order import (
    ORDER,
    AmendOrder,
    CancelOrder,
    EndMandate,
    ExpireOrder,
    OpenOrder,
    Order,
    PlaceOrder,
    require_open,
)
from marketplace.domain.trading.order_terms import (
    Cost,
    compute_budget_hold,
    compute_credit,
    compute_value,
    price_terms,
)
from marketplace.domain.trading.parents import PARENTS_MAX, require_parents
from marketplace.domain.trading.quotable import require_quotable
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork

EMPTY: Final[Mapping[str, datetime | None]] = {}


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


async def set_order(
    unit: UnitOfWork, order_id: str, startup_id: str, terms: OrderTerms, *, bought_at: datetime | None
) -> None:
    """Place an order, or amend it, and set aside what it may cost.

    Args:
        unit: The decision.
        order_id: The order.
        startup_id: Who buys.
        terms: Its terms.
        bought_at: The time, if one person alone buys; None if two persons do.

    Raises:
        Refusal: As `place_order`.
    """
    at, account_id, issuer_id = unit.context.at, rename_id("acc", startup_id), rename_id("iss", startup_id)
    order = await unit.load(ORDER, order_id)
    party = require_buyer(await unit.load(PARTY, startup_id), startup_id, backstop=terms.backstop)
    rules = (await unit.load(SCHEDULE, SCHEDULE_ID)).terms
    cost = price_terms(terms, at, rules.platform_fee)
    hold_id, until = rename_id("hld", order_id), EMPTY
    if order is None:
        await check_parents(unit, startup_id, terms)
    else:
        hold_id = derive_id("hld", unit.context.command_id)
        until = {hold.mandate_id: hold.until for hold in order.budget_holds}
        await release_order_holds(unit, order, "the order was amended")
    budget_holds = await hold_budgets(unit, party, order_id, hold_id, terms, cost=cost, until=until)
    quota = rules.orders_max
    await hold_cash(unit, account_id, order_id, hold_id, cost, terms=terms, quota=quota, bought_at=bought_at)
    stated: dict[str, Any] = {
        "order_id": order_id,
        "hold_id": hold_id,
        "terms": terms,
        "cash_hold_usd": cost.cash_usd,
        "budget_holds": budget_holds,
        "at": at,
        "cost": cost,
        "split_ratio": await find_split_ratio(unit, startup_id, terms),
        "order_usd_min": rules.order_usd_min,
        "platform_fee": rules.platform_fee,
    }
    whose: dict[str, Any] = {"startup_id": startup_id, "issuer_id": issuer_id, "account_id": account_id}
    command = PlaceOrder(**whose, **stated) if order is None else AmendOrder(**stated)
    await unit.decide(ORDER, order_id, command)


async def hold_cash(
    unit: UnitOfWork,
    account_id: str,
    order_id: str,
    hold_id: str,
    cost: Cost,
    *,
    terms: OrderTerms,
    quota: int,
    bought_at: datetime | None,
) -> None:
    """Set aside the cash that covers any offer of an order.

    Args:
        unit: The decision.
        account_id: The startup's account.
        order_id: The order.
        hold_id: Its hold.
        cost: What it may cost; its cash is set aside.
        terms: The order's terms.
        quota: The most orders and grants that hold money or credit on the account at once. For a new order, those of
            firmly related parties count too.
        bought_at: The time, if one person alone buys; None if two persons do.

    Raises:
        Refusal: ``limit_exceeded`` · ``holds_exhausted`` · ``funds_insufficient`` · ``credit_exhausted``.
    """
    is_new = await unit.load(ORDER, order_id) is None
    hold = PlaceHold(
        account_id=account_id,
        hold_id=hold_id,
        amount_usd=cost.cash_usd,
        principal_usd=cost.principal_usd,
        purpose=order_id,
        at=unit.context.at,
        quota=quota,
        related=await count_related_holds(unit, account_id, order_id) if is_new else 0,
        bought_at=bought_at,
        is_staged=terms.stages is not None,
        credit=None if terms.credit is None else (terms.credit.provider_id, compute_credit(terms)),
    )
    await unit.decide(ACCOUNT, account_id, hold)


async def count_related_holds(unit: UnitOfWork, account_id: str, purpose: str) -> int:
    """Return how many holds of the purpose's kind the accounts have that firm relations connect with this one.

    Only what both parties state, or the platform found, connects them: nobody else's statement uses up a quota.
    """
    party_id, count = rename_id("pty", account_id), 0
    register = await unit.load(REGISTER, REGISTER_ID)
    if party_id not in register.ends:
        return 0
    for other in sorted(register.list_group(party_id) - {party_id}):
        account = await unit.load(ACCOUNT, rename_id("acc", other)) if is_id(other, "pty") else None
        count += 0 if account is None else account.count_holds(purpose[:3])
    return count


async def find_split_ratio(unit: UnitOfWork, startup_id: str, terms: OrderTerms) -> str | None:
    """Return the issuer's split factor now; None if the terms state no price per share, or there is no issuer."""
    if not isinstance(terms.instrument, PricedTerms):
        return None
    issuer = await unit.load(ISSUER, rename_id("iss", startup_id))
    return render_ratio(issuer.split_ratio) if isinstance(issuer, Issuer) else None


async def hold_budgets(
    unit: UnitOfWork,
    party: Party,
    order_id: str,
    hold_id: str,
    terms: OrderTerms,
    *,
    cost: Cost,
    until: Mapping[str, datetime | None] = EMPTY,
) -> tuple[BudgetHold, ...]:
    """Hold the most that each mandate of a startup's order would pay. Empty if nothing is paid in equity.

    The order, of at most `cost`, counts toward the issuer's dilution limit. `until` states, by mandate, when the hold
    that the new one replaces ends; the new one ends no later.

    Raises:
        Refusal: ``issuer_unknown`` · ``mandate_unknown`` · ``party_suspended`` for a holder · ``value_too_precise`` ·
            refusals of the issuer and of each mandate.
    """
    if terms.instrument is None:
        return ()
    issuer_id = rename_id("iss", party.registered.party_id)
    issuer = await unit.load(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer):
        raise refuse_unknown("issuer", issuer_id)
    await count_order(unit, issuer_id, order_id, terms.instrument, cost.principal_usd, mandate_ids=terms.mandate_ids)
    holds = []
    for mandate_id in terms.mandate_ids:
        mandate = await load_mandate(unit, mandate_id)
        await require_unfrozen(unit, mandate.granted.holder_id)
        amount = compute_budget_hold(terms, mandate.terms.equity_credit)
        offers = [(offer.gpu_class, compute_value(offer, mandate.terms.equity_credit)) for offer in terms.offers]
        command = HoldBudget(
            mandate_id=mandate_id,
            hold_id=hold_id,
            order_id=order_id,
            issuer_id=issuer_id,
            instrument=terms.instrument,
            sector=party.registered.sector,
            stage=party.stage,
            amount_usd=amount,
            at=unit.context.at,
            **find_caps(issuer, terms.instrument, order_id, mandate.terms),
            prices=await list_prices(unit, mandate.terms, offers),
            until_max=until.get(mandate_id),
            related_ids=await load_related_issuers(unit, mandate, party.registered.party_id),
        )
        held = (await unit.decide(MANDATE, mandate_id, command)).holds[hold_id]
        holds.append(
            BudgetHold(
                mandate_id=mandate_id,
                holder_id=mandate.granted.holder_id,
                equity_credit=mandate.terms.equity_credit,
                amount_usd=amount,
                needs_approval=held.waits,
                until=held.until,
            )
        )
    return tuple(holds)


def find_caps(
    issuer: Issuer, terms: PrincipalTerms, order_id: str, rules: MandateTerms, split_ratio: str | None = None
) -> dict[str, Any]:
    """Return what a mandate's range is compared with; nothing for a SAFE beside common stock, which states its cap.

    `split_ratio` is as in `find_implied_cap`.
    """
    if isinstance(terms, SafeTerms) and all(each.created.kind == "common" for each in issuer.classes.values()):
        return {}
    least_usd = rules.valuation_cap_usd_min
    pending_usd = find_implied_cap(issuer, terms, split_ratio, own_id=order_id, pending=True, least_usd=least_usd)
    return {"implied_cap_usd": find_implied_cap(issuer, terms, split_ratio), "pending_cap_usd": pending_usd}


async def count_order(
    unit: UnitOfWork,
    issuer_id: str,
    order_id: str,
    terms: PrincipalTerms,
    principal_usd: Decimal,
    *,
    mandate_ids: tuple[str, ...],
    split_ratio: str | None = None,
    binds: bool = False,
) -> None:
    """Count an order's largest possible principal, in USD, toward its issuer's dilution limit.

    `split_ratio` is the issuer's split factor when a price per share was agreed; None: now. `binds` is as in
    `RecordExposure`.

    Raises:
        Refusal: One of `REFUSED_OFFERS`.
    """
    since = unit.context.at.date() if isinstance(terms, NoteTerms) else None
    exposure = Exposure(terms=terms, amount_usd=principal_usd, interest_from=since)
    mandates = [await unit.load(MANDATE, mandate_id) for mandate_id in mandate_ids]
    register, holders = await unit.load(REGISTER, REGISTER_ID), [each.granted.holder_id for each in mandates if each]
    offered_to = tuple(register.list_group(each) if each in register.ends else frozenset({each}) for each in holders)
    issuer, outweighed = await unit.get(ISSUER, issuer_id, Issuer), frozenset[str]()
    if issuer.holdings or issuer.instruments:
        outweighed = list_outweighed_by_order(
            issuer,
            order_id,
            exposure,
            offered_to,
            related=register.list_group(issuer.formed.party_id),
            on_day=unit.context.at.date(),
        )
    command = RecordExposure(
        issuer_id=issuer_id,
        subject_id=order_id,
        exposures=(exposure,) if principal_usd else (),
        offered_to=offered_to,
        outweighed=outweighed,
        split_ratio=split_ratio,
        binds=binds,
    )
    await unit.decide_at_end(ISSUER, issuer_id, command)


async def list_prices(
    unit: UnitOfWork, terms: MandateTerms, offers: Iterable[tuple[str, Decimal]]
) -> tuple[OfferedPrice, ...]:
    """Return prices in USD per GPU-hour by class, each with the class's price in the mandate's price list, if any."""
    pricelist = None if terms.pricelist_id is None else await unit.load(PRICELIST, terms.pricelist_id)
    return tuple(
        OfferedPrice(gpu_class, price, None if pricelist is None else find_list_price(pricelist, gpu_class))
        for gpu_class, price in offers
    )


async def load_order(unit: UnitOfWork, order_id: str) -> Order:
    """Return an order of the tenant.

    Raises:
        Refusal: ``order_unknown``.
    """
    order = require_found("order", order_id, await unit.load(ORDER, order_id))
    require_owner(unit.context, (order.placed.startup_id,), "order", order_id)
    return order


async def check_parents(unit: UnitOfWork, startup_id: str, terms: OrderTerms) -> None:
    """Load the parents of an order, and refuse one whose parents make a match impossible; see `require_parents`."""
    parents: list[Order | None] = []
    parent_id = terms.parent_order_id
    while parent_id is not None and len(parents) < PARENTS_MAX:
        parent = await unit.load(ORDER, parent_id)
        parents.append(parent)
        parent_id = None if parent is None else parent.terms.parent_order_id
    if parents:
        require_parents(startup_id, terms, parents)


async def release_order_holds(unit: UnitOfWork, order: Order, reason: str) -> None:
    """Free everything that is set aside for an order."""
    account_id = order.placed.account_id
    adjust = AdjustHold(account_id=account_id, hold_id=order.hold_id, amount_usd=ZERO, reason=reason)
    await unit.decide(ACCOUNT, account_id, adjust)
    if order.terms.instrument is not None:
        await free_order(unit, order.placed.issuer_id, order.placed.order_id)
    for hold in order.budget_holds:
        release = ReleaseBudget(mandate_id=hold.mandate_id, hold_id=order.hold_id, keep_usd=ZERO, reason=reason)
        await unit.decide(MANDATE, hold.mandate_id, release)


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
        await take_mandate_off(unit, order, mandate_id, require_over(mandate, order.hold_id, context.at))

    return await handler.run(context, ORDER, order_id, work)


async def take_mandate_off(unit: UnitOfWork, order: Order, mandate_id: str, reason: str) -> Order:
    """Take a mandate off an open order, free its budget, and return the order, which is cancelled without another one.

    Raises:
        Refusal: ``order_<status>``.
    """
    order_id = order.placed.order_id
    release = ReleaseBudget(mandate_id=mandate_id, hold_id=order.hold_id, keep_usd=ZERO, reason=reason)
    await unit.decide(MANDATE, mandate_id, release)
    after = await unit.decide(ORDER, order_id, EndMandate(order_id=order_id, mandate_id=mandate_id, reason=reason))
    if after.status == "cancelled":
        await release_order_holds(unit, after, "the order was cancelled")
    return after


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
