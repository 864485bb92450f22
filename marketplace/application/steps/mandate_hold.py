"""The hold on the holder's account for a cash mandate."""

from decimal import Decimal

from marketplace.application.steps.access import load_mandate
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT, AdjustHold
from marketplace.execution.unit_of_work import UnitOfWork


async def adjust_mandate_hold(unit: UnitOfWork, mandate_id: str, reason: str) -> None:
    """Set the hold on the holder's account to what the cash mandate may still owe."""
    mandate = await load_mandate(unit, mandate_id)
    if mandate.granted.funding != "cash":
        return
    account_id, hold_id = rename_id("acc", mandate.granted.holder_id), rename_id("hld", mandate_id)
    account = await unit.get(ACCOUNT, account_id)
    owed = mandate.owed_usd if mandate.revoked else mandate.budget_usd
    left: Decimal = max(owed - account.holds[hold_id].captured_usd, ZERO)
    await unit.decide(
        ACCOUNT, account_id, AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=left, reason=reason)
    )
