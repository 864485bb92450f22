"""Mandates: the budget of one that is paid in cash is held on the holder's account as long as it may be owed."""

from decimal import Decimal
from typing import Literal

from events.mandate import MandateTerms
from marketplace.application.steps.ownership import require_owner, require_tenant
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT, Account, AdjustHold, PlaceHold
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.trading.mandate import (
    MANDATE,
    AmendMandate,
    GrantMandate,
    Mandate,
    MandateCommand,
    RevokeMandate,
)
from marketplace.execution.handler import Handler, Receipt
from marketplace.execution.unit_of_work import Context, Unit


async def grant_mandate(
    handler: Handler,
    context: Context,
    *,
    holder_id: str,
    funding: Literal["cash", "own_capacity"],
    terms: MandateTerms,
) -> Receipt:
    """Offer to take equity; a cash mandate sets its whole budget aside.

    Raises:
        Refusal: Refusals of the party (a fund pays cash, a provider its own capacity), mandate and account.
    """
    require_tenant(context, holder_id)
    mandate_id = derive_id("mnd", context.command_id)

    async def work(unit: Unit) -> None:
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


async def load_mandate(unit: Unit, mandate_id: str) -> Mandate:
    """Return a mandate.

    Raises:
        Refusal: ``mandate_unknown``.
    """
    mandate: Mandate | None = await unit.load(MANDATE, mandate_id)
    if mandate is None:
        raise refuse_unknown("mandate", mandate_id)
    return mandate


async def _change(handler: Handler, context: Context, mandate_id: str, command: MandateCommand) -> Receipt:
    async def work(unit: Unit) -> None:
        mandate = await load_mandate(unit, mandate_id)
        require_owner(context, (mandate.granted.holder_id,), "mandate", mandate_id)
        await unit.decide(MANDATE, mandate_id, command)
        await adjust_mandate_hold(unit, mandate_id, "the mandate changed")

    return await handler.run(context, MANDATE, mandate_id, work)


async def amend_mandate(handler: Handler, context: Context, mandate_id: str, *, terms: MandateTerms) -> Receipt:
    """Change the rules and the budget for what comes."""
    return await _change(handler, context, mandate_id, AmendMandate(mandate_id=mandate_id, terms=terms))


async def revoke_mandate(handler: Handler, context: Context, mandate_id: str, *, reason: str) -> Receipt:
    """Take nothing new; budget that is neither held nor committed is free again."""
    return await _change(handler, context, mandate_id, RevokeMandate(mandate_id=mandate_id, reason=reason))


async def adjust_mandate_hold(unit: Unit, mandate_id: str, reason: str) -> None:
    """Set what the holder's account holds for a cash mandate to what it may still owe."""
    mandate = await load_mandate(unit, mandate_id)
    if mandate.granted.funding != "cash":
        return
    account_id, hold_id = rename_id("acc", mandate.granted.holder_id), rename_id("hld", mandate_id)
    account: Account = await unit.load(ACCOUNT, account_id)
    owed = mandate.used_usd if mandate.revoked else mandate.terms.budget_usd
    left: Decimal = max(owed - account.holds[hold_id].captured_usd, ZERO)
    await unit.decide(
        ACCOUNT, account_id, AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=left, reason=reason)
    )
