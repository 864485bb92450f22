"""Mandates: the budget of a cash mandate is held on the holder's account until it is drawn or released."""

from typing import Literal

from events.mandate import MandateTerms
from events.types import Funding
from marketplace.application.steps.access import load_mandate, require_owner, require_tenant, require_unfrozen
from marketplace.application.steps.mandate_hold import adjust_mandate_hold
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT, PlaceHold
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.pricelist import PRICELIST
from marketplace.domain.trading.mandate import (
    MANDATE,
    AmendMandate,
    ApproveOrder,
    GrantMandate,
    MandateCommand,
    RefuseOrder,
    RevokeMandate,
)
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
    """Offer to take equity. A cash mandate sets its whole budgets aside.

    Raises:
        Refusal: ``pricelist_unknown`` · refusals of the party (a fund pays cash, a provider its own capacity), mandate
            and account.
    """
    require_tenant(context, holder_id)
    mandate_id = derive_id("mnd", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        role: Literal["provider", "fund"] = "provider" if funding == "own_capacity" else "fund"
        require_trader(await unit.load(PARTY, holder_id), holder_id, role)
        await _require_pricelist(unit, terms)
        command = GrantMandate(mandate_id=mandate_id, holder_id=holder_id, funding=funding, terms=terms)
        await unit.decide(MANDATE, mandate_id, command)
        if funding == "cash":
            account_id = rename_id("acc", holder_id)
            hold = PlaceHold(
                account_id=account_id,
                hold_id=rename_id("hld", mandate_id),
                amount_usd=terms.budget_usd + (terms.direct_budget_usd or ZERO),
                purpose=mandate_id,
            )
            await unit.decide(ACCOUNT, account_id, hold)

    return await handler.run(context, MANDATE, mandate_id, work, new=True)


async def _change(handler: Handler, context: Context, mandate_id: str, command: MandateCommand) -> Receipt:
    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        if isinstance(command, AmendMandate):
            await _require_pricelist(unit, command.terms)
        await unit.decide(MANDATE, mandate_id, command)
        await adjust_mandate_hold(unit, mandate_id, "the mandate changed")

    return await handler.run(context, MANDATE, mandate_id, work)


async def amend_mandate(handler: Handler, context: Context, mandate_id: str, *, terms: MandateTerms) -> Receipt:
    """Change the rules and the budgets, for orders that are not matched yet."""
    return await _change(handler, context, mandate_id, AmendMandate(mandate_id=mandate_id, terms=terms))


async def revoke_mandate(handler: Handler, context: Context, mandate_id: str, *, reason: str) -> Receipt:
    """Revoke a mandate, so that it takes nothing new. Budget that is not committed is free at once."""
    return await _change(handler, context, mandate_id, RevokeMandate(mandate_id=mandate_id, reason=reason))


async def approve_order(handler: Handler, context: Context, mandate_id: str, hold_id: str) -> Receipt:
    """Approve an order above the amount that needs it, as the holder. It takes part in the auctions from now on.

    Raises:
        Refusal: ``mandate_unknown`` · ``party_suspended`` · refusals of the mandate and of the order.
    """

    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        await require_unfrozen(unit)
        after = await unit.decide(MANDATE, mandate_id, ApproveOrder(mandate_id=mandate_id, hold_id=hold_id))
        order_id = after.holds[hold_id].order_id
        await unit.decide(ORDER, order_id, ApproveMandate(order_id=order_id, mandate_id=mandate_id))

    return await handler.run(context, MANDATE, mandate_id, work)


async def refuse_order(handler: Handler, context: Context, mandate_id: str, hold_id: str, *, reason: str) -> Receipt:
    """Pay for an order no more that is not matched, as the holder. Its budget is free at once; a timer tells the order.

    Raises:
        Refusal: ``mandate_unknown`` · refusals of the mandate.
    """

    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        await unit.decide(MANDATE, mandate_id, RefuseOrder(mandate_id=mandate_id, hold_id=hold_id, reason=reason))

    return await handler.run(context, MANDATE, mandate_id, work)


async def _require_pricelist(unit: UnitOfWork, terms: MandateTerms) -> None:
    if terms.pricelist_id is not None and await unit.load(PRICELIST, terms.pricelist_id) is None:
        raise refuse_unknown("pricelist", terms.pricelist_id)
