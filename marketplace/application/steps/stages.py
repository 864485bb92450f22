"""Set aside the cash of a grant's stages from available money, and pay for hours in which delivery was withheld."""

from decimal import Decimal

from events.grant import GrantStagePaid, GrantWithholdingEnded
from marketplace.application.steps.paying import pay
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold
from marketplace.domain.billing.account_state import Account
from marketplace.domain.billing.stages import find_spare
from marketplace.domain.delivery.grant import GRANT, Grant
from marketplace.domain.delivery.grant_commands import CollectStage
from marketplace.domain.delivery.service_level import count_withheld
from marketplace.execution.unit_of_work import UnitOfWork


async def collect(unit: UnitOfWork, grant: Grant, *, is_asked: bool = False) -> Grant:
    """Set aside what the stages of a grant need by now, or take the next step where that is missing.

    Args:
        unit: The decision.
        grant: The grant, which is staged.
        is_asked: Whether its startup pays, also before a stage begins. Otherwise time does.

    Returns:
        The grant after that.

    Raises:
        Refusal: Refusals of the grant · ``account_closed`` · ``funds_insufficient``.
    """
    issued, at = grant.issued, unit.context.at
    account = await unit.get(ACCOUNT, issued.startup_account_id)
    command = CollectStage(
        grant_id=issued.grant_id,
        at=at,
        available_usd=ZERO if account.closed else account.available_usd,
        is_asked=is_asked,
        gpu_seconds_withheld=count_withheld(grant, at),
        spare_usd=compute_spare(unit, grant, account),
    )
    known = len(unit.list_events(GRANT, issued.grant_id))
    after = await unit.decide(GRANT, issued.grant_id, command)
    for event in unit.list_events(GRANT, issued.grant_id)[known:]:
        if isinstance(event, GrantWithholdingEnded):
            capture = CaptureHold(
                account_id=issued.startup_account_id,
                hold_id=issued.hold_id,
                amount_usd=event.damages_usd,
                payee_account_id=issued.provider_account_id,
                cause=event.payment_id,
            )
            await pay(unit, capture)
        elif isinstance(event, GrantStagePaid):
            await raise_hold(unit, grant, event.amount_usd, "the next stage of the grant")
    return after


async def raise_hold(unit: UnitOfWork, grant: Grant, amount_usd: Decimal, reason: str) -> None:
    """Set more of the startup's available money aside in the hold of its grant.

    Raises:
        Refusal: ``account_closed`` · ``funds_insufficient``.
    """
    account_id, hold_id = grant.issued.startup_account_id, grant.issued.hold_id
    left_usd = (await unit.get(ACCOUNT, account_id)).holds[hold_id].left_usd
    adjust = AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=left_usd + amount_usd, reason=reason)
    await unit.decide(ACCOUNT, account_id, adjust)


def compute_spare(unit: UnitOfWork, grant: Grant, account: Account) -> Decimal:
    """Return what the hold of a staged grant has beyond its delivered hours, in US dollars, of its account as given."""
    at, issued = unit.context.at, grant.issued
    hold = account.holds[issued.hold_id]
    end = max(min(at, grant.end), issued.start)
    withheld = sum((load.end - load.start for load in grant.list_withheld(end)), start=end - end)
    spare = find_spare(issued, hold.left_usd + hold.captured_usd, end - issued.start - withheld, grant.damages_usd)
    return min(spare, hold.left_usd)
