"""Methods of the client for accounts: balances, what makes them, and statements of account."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.api.bodies.accounts import CaptureHoldBody, PlaceHoldBody, TransferBody
from marketplace.api.bodies.reasons import ReasonBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.transport import Transport
from marketplace.projections.accounts import AccountStatementView, ExplanationView
from marketplace.projections.accounts.views import BalanceView
from marketplace.projections.holds import HoldView


class Books(Transport):
    """What a party asks of its accounts."""

    async def deposit(self, account_id: str, amount_usd: Decimal, reference: str, **options: Any) -> ReceiptBody:
        """Record money that came in."""
        body = TransferBody(amount_usd=amount_usd, reference=reference)
        return await self.command(f"/v1/accounts/{account_id}/deposits", body, **options)

    async def withdraw(self, account_id: str, amount_usd: Decimal, reference: str, **options: Any) -> ReceiptBody:
        """Take available money out."""
        body = TransferBody(amount_usd=amount_usd, reference=reference)
        return await self.command(f"/v1/accounts/{account_id}/withdrawals", body, **options)

    async def place_hold(self, account_id: str, body: PlaceHoldBody, **options: Any) -> ReceiptBody:
        """Set money aside that another account may be paid from; the receipt's id is the hold's."""
        return await self.command(f"/v1/accounts/{account_id}/holds", body, **options)

    async def capture_hold(self, account_id: str, hold_id: str, amount_usd: Decimal, **options: Any) -> ReceiptBody:
        """Pay the payee of a hold, in part or in whole."""
        body = CaptureHoldBody(amount_usd=amount_usd)
        return await self.command(f"/v1/accounts/{account_id}/holds/{hold_id}/capture", body, **options)

    async def release_hold(self, account_id: str, hold_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Give back what is left of a hold."""
        body = ReasonBody(reason=reason)
        return await self.command(f"/v1/accounts/{account_id}/holds/{hold_id}/release", body, **options)

    async def close_account(self, account_id: str, reason: str, **options: Any) -> ReceiptBody:
        """Let nothing new begin on an account that holds nothing."""
        return await self.command(f"/v1/accounts/{account_id}/close", ReasonBody(reason=reason), **options)

    def list_holds(self, account_id: str, **query: Any) -> AsyncIterator[HoldView]:
        """Yield what is or was set aside on an account."""
        return self.rows(f"/v1/accounts/{account_id}/holds", HoldView, **query)

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
