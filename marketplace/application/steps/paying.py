"""Payments between accounts: payer and payee are written in one atomic append."""

from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import CaptureHold, Credit, Debit
from marketplace.execution.unit_of_work import UnitOfWork


async def pay(unit: UnitOfWork, payment: CaptureHold | Debit) -> None:
    """Pay from a hold or from available money, and credit the payee. An amount of 0 moves nothing.

    Raises:
        Refusal: Refusals of the accounts.
    """
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


async def capture_or_debit(unit: UnitOfWork, capture: CaptureHold) -> None:
    """Pay from a hold or, if that has less than the whole amount, all of it from available money.

    Raises:
        Refusal: As `pay`.
    """
    account = await unit.get(ACCOUNT, capture.account_id)
    hold = account.holds.get(capture.hold_id)
    if hold is not None and hold.left_usd >= capture.amount_usd:
        await pay(unit, capture)
        return
    debit = Debit(
        account_id=capture.account_id,
        amount_usd=capture.amount_usd,
        payee_account_id=capture.payee_account_id,
        cause=capture.cause,
    )
    await pay(unit, debit)
