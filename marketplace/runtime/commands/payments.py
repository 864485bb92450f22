"""Payments between accounts: who pays and who is paid stand in one atomic append."""

from marketplace.domain.account import ACCOUNT, CaptureHold, Credit, Debit
from marketplace.runtime.unit import Unit


async def pay(unit: Unit, payment: CaptureHold | Debit) -> None:
    """Pay from a hold or from what is available, and credit the payee; an amount of 0 moves nothing."""
    if not payment.amount_usd:
        return
    await unit.decide(ACCOUNT, payment.account_id, payment)
    credit = Credit(
        account_id=payment.payee_account_id,
        amount_usd=payment.amount_usd,
        payer_account_id=payment.account_id,
        cause=payment.cause,
    )
    await unit.decide(ACCOUNT, payment.payee_account_id, credit)
