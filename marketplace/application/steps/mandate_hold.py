"""The hold on a holder's account for its cash mandate."""

from datetime import datetime
from decimal import Decimal

from events.mandate import MandateTerms
from marketplace.application.steps.access import load_mandate
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, PlaceHold
from marketplace.domain.party import PARTY, require_trader
from marketplace.domain.trading.mandate import MANDATE, AmendMandate, GrantMandate
from marketplace.domain.trading.mandate_ends import require_lasting
from marketplace.execution.unit_of_work import UnitOfWork


async def set_mandate(
    unit: UnitOfWork, mandate_id: str, holder_id: str, terms: MandateTerms, *, alone_at: datetime | None
) -> None:
    """Grant a cash mandate and set all of its budgets aside, or amend it and its hold.

    Args:
        unit: The decision.
        mandate_id: The mandate.
        holder_id: Its holder.
        terms: Its rules.
        alone_at: The time, if one person of the holder acts alone; None if two persons act.

    Raises:
        Refusal: ``expiry_past`` · refusals of the party, the mandate and the account.
    """
    before = await unit.load(MANDATE, mandate_id)
    require_lasting(terms, None if before is None else before.terms, unit.context.at)
    if before is not None:
        await unit.decide(MANDATE, mandate_id, AmendMandate(mandate_id=mandate_id, terms=terms))
        await adjust_mandate_hold(unit, mandate_id, "the mandate changed", alone_at=alone_at, at=unit.context.at)
        return
    require_trader(await unit.load(PARTY, holder_id), holder_id, "fund")
    command = GrantMandate(mandate_id=mandate_id, holder_id=holder_id, funding="cash", terms=terms)
    mandate = await unit.decide(MANDATE, mandate_id, command)
    account_id = rename_id("acc", holder_id)
    hold = PlaceHold(
        account_id=account_id,
        hold_id=rename_id("hld", mandate_id),
        amount_usd=mandate.budget_usd,
        purpose=mandate_id,
        at=unit.context.at,
        alone_at=alone_at,
    )
    await unit.decide(ACCOUNT, account_id, hold)


async def adjust_mandate_hold(
    unit: UnitOfWork, mandate_id: str, reason: str, *, alone_at: datetime | None = None, at: datetime | None = None
) -> None:
    """Set the hold on the holder's account to what a cash mandate may still owe; nothing for another mandate.

    Args:
        unit: The decision.
        mandate_id: The mandate.
        reason: Why, for money that is released.
        alone_at: Now, if one person of the holder amends the mandate alone; None otherwise.
        at: Now, if the holder amends it, so that its account's reserves are not set aside; None otherwise.

    Raises:
        Refusal: Refusals of the account.
    """
    mandate = await load_mandate(unit, mandate_id)
    if mandate.granted.funding != "cash":
        return
    account_id, hold_id = rename_id("acc", mandate.granted.holder_id), rename_id("hld", mandate_id)
    account = await unit.get(ACCOUNT, account_id)
    owed = mandate.owed_usd if mandate.revoked else mandate.budget_usd
    left: Decimal = max(owed - account.holds[hold_id].captured_usd, ZERO)
    adjust = AdjustHold(
        account_id=account_id, hold_id=hold_id, amount_usd=left, reason=reason, alone_at=alone_at, at=at
    )
    await unit.decide(ACCOUNT, account_id, adjust)
