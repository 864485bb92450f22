"""Mandates: the budget of a cash mandate is held on the holder's account until it is drawn or released."""

from collections.abc import Sequence
from datetime import timedelta

from events.account import MandateAct
from events.mandate import MandateTerms
from events.types import Funding
from marketplace.application.steps.access import load_mandate, require_owner, require_tenant, require_unfrozen
from marketplace.application.steps.binding import require_mandate_unbound
from marketplace.application.steps.mandate_hold import adjust_mandate_hold, set_mandate
from marketplace.application.steps.two_persons import ask_second, use_limit
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.transfer import require_payer
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.pricelist import PRICELIST
from marketplace.domain.trading.mandate import (
    MANDATE,
    AmendMandate,
    ApproveOrder,
    GrantMandate,
    RefuseOrder,
    RevokeMandate,
)
from marketplace.domain.trading.mandate_ends import require_lasting
from marketplace.domain.trading.order import ORDER, ApproveMandate
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def grant_mandate(
    handler: Handler,
    context: Context,
    *,
    holder_id: str,
    funding: Funding,
    terms: MandateTerms,
) -> Receipt:
    """Offer to take equity. A cash mandate sets all of its budgets aside.

    Above the account's limit, a cash mandate is only requested, and waits for a second person; see
    `marketplace.application.billing.approvals`.

    Raises:
        Refusal: ``pricelist_unknown`` · ``party_unknown`` · ``payer_only`` for cash · refusals of the party (a fund
            pays cash, a provider its own capacity), mandate and account.
    """
    require_tenant(context, holder_id)
    mandate_id = derive_id("mnd", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        await _require_pricelist(unit, terms)
        if funding == "cash":
            await _set_cash(unit, mandate_id, holder_id, terms)
            return
        require_trader(await unit.load(PARTY, holder_id), holder_id, "provider")
        require_lasting(terms, None, context.at)
        command = GrantMandate(mandate_id=mandate_id, holder_id=holder_id, funding=funding, terms=terms)
        await unit.decide(MANDATE, mandate_id, command)

    return await handler.run(context, MANDATE, mandate_id, work, new=True)


async def _set_cash(unit: UnitOfWork, mandate_id: str, holder_id: str, terms: MandateTerms) -> None:
    """Grant or amend a cash mandate. If its budgets exceed what one person alone may spend, request it instead.

    Raises:
        Refusal: ``party_unknown`` · ``payer_only`` · refusals of the mandate, the account and the request.
    """
    account_id, at = rename_id("acc", holder_id), unit.context.at
    account, before = await unit.load(ACCOUNT, account_id), await unit.load(MANDATE, mandate_id)
    if account is None:
        raise refuse_unknown("party", holder_id)
    require_payer(holder_id, unit.context.party_id)
    budgets = terms.budget_usd + (terms.direct_budget_usd or ZERO)
    is_same = before is not None and before.terms == terms
    if is_same or not account.needs_second(budgets, at):
        await set_mandate(unit, mandate_id, holder_id, terms, alone_at=at)
        if before is not None and not is_same:  # other rules let go what the budgets had before, too
            await use_limit(unit, min(budgets, before.budget_usd), unit.context.command_id)
        return
    await set_mandate(unit.branch(), mandate_id, holder_id, terms, alone_at=None)
    more = max(budgets - (ZERO if before is None else before.budget_usd), ZERO)
    await ask_second(unit, account_id, MandateAct(mandate_id=mandate_id, amount_usd=more, terms=terms))


async def amend_mandate(
    handler: Handler, context: Context, mandate_id: str, *, terms: MandateTerms, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Replace the rules and the budgets, for orders that are not matched yet.

    Above the account's limit, the change of a cash mandate is only requested. `auction_ids`, here and in the next
    functions, are the auctions that are not completed.

    Raises:
        Refusal: As `grant_mandate` · ``mandate_unknown`` · ``party_suspended`` · ``mandate_bound``.
    """

    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        granted = mandate.granted
        require_owner(context, (granted.holder_id,), "mandate", mandate_id)
        await require_unfrozen(unit)
        await require_mandate_unbound(unit, mandate, mandate.holds.values(), auction_ids)
        await _require_pricelist(unit, terms)
        if granted.funding == "cash":
            await _set_cash(unit, mandate_id, granted.holder_id, terms)
        else:
            require_lasting(terms, mandate.terms, context.at)
            await unit.decide(MANDATE, mandate_id, AmendMandate(mandate_id=mandate_id, terms=terms))

    return await handler.run(context, MANDATE, mandate_id, work)


async def revoke_mandate(
    handler: Handler, context: Context, mandate_id: str, *, reason: str, auction_ids: Sequence[str] = ()
) -> Receipt:
    """Revoke a mandate, so that it takes nothing new. Budget that is not committed is free at once.

    Raises:
        Refusal: ``mandate_unknown`` · ``mandate_bound``, but not for the platform.
    """

    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        await require_mandate_unbound(unit, mandate, mandate.holds.values(), auction_ids)
        await unit.decide(MANDATE, mandate_id, RevokeMandate(mandate_id=mandate_id, reason=reason))
        await adjust_mandate_hold(unit, mandate_id, "the mandate changed")

    return await handler.run(context, MANDATE, mandate_id, work)


async def approve_order(handler: Handler, context: Context, mandate_id: str, hold_id: str) -> Receipt:
    """Approve, as the holder, an order that needs approval. It takes part in the auctions from now on.

    Raises:
        Refusal: ``mandate_unknown`` · ``payer_only`` · ``party_suspended`` · refusals of the mandate and of the order.
    """

    async def work(unit: UnitOfWork) -> None:
        holder_id = (await load_mandate(unit, mandate_id)).granted.holder_id
        require_owner(context, (holder_id,), "mandate", mandate_id)
        require_payer(holder_id, context.party_id)
        await require_unfrozen(unit)
        after = await unit.decide(MANDATE, mandate_id, ApproveOrder(mandate_id=mandate_id, hold_id=hold_id))
        order_id = after.holds[hold_id].order_id
        await unit.decide(ORDER, order_id, ApproveMandate(order_id=order_id, mandate_id=mandate_id))

    return await handler.run(context, MANDATE, mandate_id, work)


async def refuse_order(
    handler: Handler,
    context: Context,
    mandate_id: str,
    hold_id: str,
    *,
    reason: str,
    barred_days: int = 0,
    auction_ids: Sequence[str] = (),
) -> Receipt:
    """Refuse, as the holder, to pay for an order that is not matched. Its budget is free at once.

    The scheduler then takes the mandate off the order (`end_mandate`). For `barred_days`, the mandate holds nothing
    more for the order's issuer.

    Raises:
        Refusal: ``mandate_unknown`` · ``mandate_bound`` · refusals of the mandate.
    """

    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        await require_mandate_unbound(
            unit, mandate, [mandate.holds[hold_id]] if hold_id in mandate.holds else (), auction_ids
        )
        until = context.at + timedelta(days=barred_days) if barred_days else None
        command = RefuseOrder(mandate_id=mandate_id, hold_id=hold_id, reason=reason, barred_until=until)
        await unit.decide(MANDATE, mandate_id, command)

    return await handler.run(context, MANDATE, mandate_id, work)


async def _require_pricelist(unit: UnitOfWork, terms: MandateTerms) -> None:
    if terms.pricelist_id is not None and await unit.load(PRICELIST, terms.pricelist_id) is None:
        raise refuse_unknown("pricelist", terms.pricelist_id)
