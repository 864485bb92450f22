"""Accounts: money in and out; the payment provider is whoever records the transfer."""

from decimal import Decimal

from marketplace.domain.account import ACCOUNT, Account, Deposit, Withdraw
from marketplace.domain.refusals import refuse_unknown
from marketplace.runtime.commands.ownership import require_owner, require_platform
from marketplace.runtime.handler import Handler, Receipt
from marketplace.runtime.unit import Context, Unit


async def _load_account(unit: Unit, account_id: str) -> Account:
    account: Account | None = await unit.load(ACCOUNT, account_id)
    if account is None:
        raise refuse_unknown("account", account_id)
    require_owner(unit.context, (account.party_id,), "account", account_id)
    return account


async def deposit(
    handler: Handler, context: Context, account_id: str, *, amount_usd: Decimal, reference: str
) -> Receipt:
    """Record money that came in; only the platform's operator knows that it did."""
    require_platform(context)

    async def work(unit: Unit) -> None:
        await _load_account(unit, account_id)
        command = Deposit(account_id=account_id, amount_usd=amount_usd, reference=reference)
        await unit.decide(ACCOUNT, account_id, command)

    return await handler.run(context, ACCOUNT, account_id, work)


async def withdraw(
    handler: Handler, context: Context, account_id: str, *, amount_usd: Decimal, reference: str
) -> Receipt:
    """Record money that goes out."""

    async def work(unit: Unit) -> None:
        await _load_account(unit, account_id)
        command = Withdraw(account_id=account_id, amount_usd=amount_usd, reference=reference)
        await unit.decide(ACCOUNT, account_id, command)

    return await handler.run(context, ACCOUNT, account_id, work)
