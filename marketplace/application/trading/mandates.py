"""Mandates: the budget of a cash mandate is held on the holder's account until it is drawn or released."""

from typing import Literal

from events.mandate import MandateTerms
from marketplace.application.steps.access import load_mandate, require_owner, require_tenant
from marketplace.application.steps.mandate_hold import adjust_mandate_hold
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.account import ACCOUNT, PlaceHold
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.trading.mandate import (
    MANDATE,
    AmendMandate,
    GrantMandate,
    MandateCommand,
    RevokeMandate,
)
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, UnitOfWork


async def grant_mandate(
    handler: Handler,
    context: Context,
    *,
    holder_id: str,
    funding: Literal["cash", "own_capacity"],
    terms: MandateTerms,
) -> Receipt:
    """Offer to take equity. A cash mandate sets its whole budget aside.

    Raises:
        Refusal: Refusals of the party (a fund pays cash, a provider its own capacity), mandate and account.
    """
    require_tenant(context, holder_id)
    mandate_id = derive_id("mnd", context.command_id)

    async def work(unit: UnitOfWork) -> None:
        role: Literal["provider", "fund"] = "provider" if funding == "own_capacity" else "fund"
        require_trader(await unit.load(PARTY, holder_id), holder_id, role)
        command = GrantMandate(mandate_id=mandate_id, holder_id=holder_id, funding=funding, terms=terms)
        await unit.decide(MANDATE, mandate_id, command)
        if funding == "cash":
            account_id = rename_id("acc", holder_id)
            hold = PlaceHold(
                account_id=account_id,
                hold_id=rename_id("hld", mandate_id),
                amount_usd=terms.budget_usd,
                purpose=mandate_id,
            )
            await unit.decide(ACCOUNT, account_id, hold)

    return await handler.run(context, MANDATE, mandate_id, work, new=True)


async def _change(handler: Handler, context: Context, mandate_id: str, command: MandateCommand) -> Receipt:
    async def work(unit: UnitOfWork) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        await unit.decide(MANDATE, mandate_id, command)
        await adjust_mandate_hold(unit, mandate_id, "the mandate changed")

    return await handler.run(context, MANDATE, mandate_id, work)


async def amend_mandate(handler: Handler, context: Context, mandate_id: str, *, terms: MandateTerms) -> Receipt:
    """Change the rules and the budget for future orders."""
    return await _change(handler, context, mandate_id, AmendMandate(mandate_id=mandate_id, terms=terms))


async def revoke_mandate(handler: Handler, context: Context, mandate_id: str, *, reason: str) -> Receipt:
    """Revoke a mandate, so that it takes nothing new. Budget that is neither held nor committed is freed."""
    return await _change(handler, context, mandate_id, RevokeMandate(mandate_id=mandate_id, reason=reason))
