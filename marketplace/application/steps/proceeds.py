"""Proceeds of a declared sale: what arrives on the company's account is kept for its holders until they are paid."""

from events.issuer import IssuerDistributionPaid, IssuerLiquidityDeclared, IssuerLiquidityWithdrawn
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import Reserve
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.execution.unit_of_work import UnitOfWork


async def keep_proceeds(unit: UnitOfWork, issuer_id: str) -> None:
    """Reserve the cash of a sale that this decision declares, and free that of one which it ends or replaces.

    Until the holders are paid, or the time to pay them is over, the company neither withdraws nor holds nor spends it.
    Of the money on its account, only what is above the proceeds is free.
    """
    for event in unit.list_events(ISSUER, issuer_id):
        match event:
            case IssuerLiquidityDeclared():
                if event.replaces is not None:
                    await _free(unit, issuer_id, event.replaces)
                cash = sum((payout.cash_usd for payout in event.waterfall.payouts), ZERO)
                account_id = rename_id("acc", issuer_id)
                command = Reserve(
                    account_id=account_id, amount_usd=cash, until=event.pay_until, cause=event.liquidity_id
                )
                await unit.decide(ACCOUNT, account_id, command)
            case IssuerLiquidityWithdrawn() | IssuerDistributionPaid():
                await _free(unit, issuer_id, event.liquidity_id)
            case _:
                pass


async def _free(unit: UnitOfWork, issuer_id: str, liquidity_id: str) -> None:
    account_id = rename_id("acc", issuer_id)
    command = Reserve(account_id=account_id, amount_usd=ZERO, until=unit.context.at, cause=liquidity_id)
    await unit.decide(ACCOUNT, account_id, command)
