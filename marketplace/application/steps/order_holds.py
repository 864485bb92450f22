"""What an order sets aside: the startup's cash, each mandate's budget, and room in the issuer's dilution limit.

How an order is placed and amended.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from events.issuer_dilution import Exposure
from events.mandate import MandateTerms
from events.order import BudgetHold, OrderTerms
from events.types import NoteTerms, PricedTerms, PrincipalTerms
from marketplace.application.steps.access import load_mandate, load_related_issuers, require_owner, require_unfrozen
from marketplace.core.ids import derive_id, is_id, rename_id
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, PlaceHold
from marketplace.domain.equity.issuer.commands import RecordExposure
from marketplace.domain.equity.issuer.dilution import find_implied_cap
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.party import PARTY, Party, require_buyer
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.domain.supply.pricelist import PRICELIST, find_list_price
from marketplace.domain.supply.schedule import SCHEDULE, SCHEDULE_ID
from marketplace.domain.trading.mandate import MANDATE, HoldBudget, ReleaseBudget
from marketplace.domain.trading.mandate_rules import OfferedPrice
from marketplace.domain.trading.order import ORDER, AmendOrder, Order, PlaceOrder
from marketplace.domain.trading.order_terms import (
    Cost,
    compute_budget_hold,
    compute_credit,
    compute_value,
    price_terms,
)
from marketplace.domain.trading.parents import PARENTS_MAX, require_parents
from marketplace.execution.unit_of_work import UnitOfWork

EMPTY: Final[Mapping[str, datetime | None]] = {}


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
        Refusal: As `marketplace.application.trading.orders.place_order`.
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
        quota: The most orders with money on the account; of a new one, also with those of firmly related parties.
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
    issuer = await unit.load(ISSUER, rename_id("iss", startup_id))
    if not isinstance(terms.instrument, PricedTerms) or not isinstance(issuer, Issuer):
        return None
    return render_ratio(issuer.split_ratio)


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
    implied_cap_usd = find_implied_cap(issuer, terms.instrument)
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
            implied_cap_usd=implied_cap_usd,
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


async def count_order(
    unit: UnitOfWork,
    issuer_id: str,
    order_id: str,
    terms: PrincipalTerms,
    principal_usd: Decimal,
    *,
    mandate_ids: tuple[str, ...],
) -> None:
    """Count an order's largest possible principal, in USD, toward its issuer's dilution limit.

    Raises:
        Refusal: One of `REFUSED_OFFERS`.
    """
    since = unit.context.at.date() if isinstance(terms, NoteTerms) else None
    exposure = Exposure(terms=terms, amount_usd=principal_usd, interest_from=since)
    mandates = [await unit.load(MANDATE, mandate_id) for mandate_id in mandate_ids]
    offered_to = tuple(mandate.granted.holder_id for mandate in mandates if mandate is not None)
    command = RecordExposure(
        issuer_id=issuer_id,
        subject_id=order_id,
        exposures=(exposure,) if principal_usd else (),
        offered_to=offered_to,
    )
    await unit.decide_at_end(ISSUER, issuer_id, command)


async def free_order(unit: UnitOfWork, issuer_id: str, order_id: str) -> None:
    """Stop counting an order that offers an instrument. An order for cash only is never counted."""
    command = RecordExposure(issuer_id=issuer_id, subject_id=order_id, exposures=())
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
