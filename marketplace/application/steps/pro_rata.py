"""Money of holders that use their pro-rata right in a round: set aside with the answer, paid or released at its end.

The company decides when the round closes. The holds expire `CLOSE_WITHIN` after the time for joining; a round that is
still open then cannot close.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from marketplace.application.steps.paying import pay
from marketplace.core.ids import derive_id, rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, PlaceHold
from marketplace.domain.equity.issuer.holder_commands import AnswerProRata
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.execution.unit_of_work import UnitOfWork

CLOSE_WITHIN: Final = timedelta(days=60)
"""How long the money stays set aside after the time for joining. A company that needs longer opens a new round."""


def _name_hold(financing_id: str, holder_id: str) -> str:
    return derive_id("hld", financing_id, holder_id)


async def take_pro_rata(
    unit: UnitOfWork, issuer_id: str, financing_id: str, *, holder_id: str, amount_usd: Decimal, at: datetime
) -> None:
    """Record a holder's answer to a pro rata offer, and set its money aside; 0 declines.

    Raises:
        Refusal: Refusals of the issuer and of the account.
    """
    command = AnswerProRata(
        issuer_id=issuer_id, financing_id=financing_id, holder_id=holder_id, amount_usd=amount_usd, at=at
    )
    await unit.decide(ISSUER, issuer_id, command)
    financing = (await unit.get(ISSUER, issuer_id, Issuer)).financings[financing_id]
    until = next((financing.find_until(each) for each in financing.offers if each.holder_id == holder_id), None)
    if amount_usd and until is not None and unit.list_events(ISSUER, issuer_id):
        account_id = rename_id("acc", holder_id)
        hold = PlaceHold(
            account_id=account_id,
            hold_id=_name_hold(financing_id, holder_id),
            amount_usd=amount_usd,
            purpose=financing_id,
            expires_at=until + CLOSE_WITHIN,
            at=at,
        )
        await unit.decide(ACCOUNT, account_id, hold)


async def pay_pro_rata(unit: UnitOfWork, issuer: Issuer, financing_id: str) -> None:
    """Pay the company what holders set aside for a round that closes; release the money of those that get no share.

    Raises:
        Refusal: ``hold_expired`` · refusals of the accounts.
    """
    financing = issuer.financings[financing_id]
    assert financing.pricing is not None, "a round is closed at a price"
    allotted = {each.holder_id for each in financing.pricing.allotments}
    for holder_id, amount_usd in sorted(financing.answers.items()):
        if amount_usd and holder_id not in allotted:
            await _release(unit, financing_id, holder_id, "it buys no whole share")
        elif amount_usd:
            capture = CaptureHold(
                account_id=rename_id("acc", holder_id),
                hold_id=_name_hold(financing_id, holder_id),
                amount_usd=amount_usd,
                payee_account_id=rename_id("acc", issuer.formed.party_id),
                cause=derive_id("pay", financing_id, holder_id),
                at=unit.context.at,
            )
            await pay(unit, capture)


async def release_pro_rata(unit: UnitOfWork, issuer: Issuer, financing_id: str) -> None:
    """Release what holders set aside for a round that was abandoned."""
    for holder_id, amount_usd in sorted(issuer.financings[financing_id].answers.items()):
        if amount_usd:
            await _release(unit, financing_id, holder_id, "the round was abandoned")


async def _release(unit: UnitOfWork, financing_id: str, holder_id: str, reason: str) -> None:
    account_id, hold_id = rename_id("acc", holder_id), _name_hold(financing_id, holder_id)
    hold = (await unit.get(ACCOUNT, account_id)).holds.get(hold_id)
    if hold is not None and not hold.expired:
        release = AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=Decimal(0), reason=reason)
        await unit.decide(ACCOUNT, account_id, release)
