"""Methods of the client for accounts: balances, what makes them, and statements of account."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.api.bodies.accounts import TransferBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.transport import Transport
from marketplace.projections.accounts import AccountStatementView, ExplanationView
from marketplace.projections.accounts.views import BalanceView


class Books(Transport):
    """What a party asks of its accounts."""

    async def deposit(self, account_id: str, amount_usd: Decimal, reference: str, **options: Any) -> ReceiptBody:
        """Record money that came in."""
        body = TransferBody(amount_usd=amount_usd, reference=reference)
        return await self.command(f"/v1/accounts/{account_id}/deposits", body, **options)

    def list_balances(self, **query: Any) -> AsyncIterator[BalanceView]:
        """Yield balances by ledger account."""
        return self.rows("/v1/balances", BalanceView, **query)

    async def explain_balance(self, account_id: str, **query: Any) -> ExplanationView:
        """Return the ledger accounts of an account, grant, instrument or pool, and what makes them by pages."""
        return await self.get(f"/v1/accounts/{account_id}/explain", ExplanationView, **query)

    async def get_account_statement(
        self, account_id: str, start: datetime, end: datetime, **query: Any
    ) -> AccountStatementView:
        """Return what stood on an account, every line of ``[start, end)``, and what stands at its end."""
        query |= {"start": start.isoformat(), "end": end.isoformat()}
        return await self.get(f"/v1/accounts/{account_id}/statement", AccountStatementView, **query)
