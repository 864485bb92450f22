"""Accounts: balances, entries, deposits, withdrawals and the trial balance."""

from collections.abc import AsyncIterator
from decimal import Decimal

from marketplace.api.bodies.accounts import TransferBody
from marketplace.api.commands import ReceiptBody
from marketplace.client.feature import Feature
from marketplace.client.transport import At
from marketplace.projections.accounts import AccountView, BalanceView, EntryView, TrialBalanceView


class Accounts(Feature):
    """Double entry, one unit per account."""

    async def deposit(self, account_id: str, *, amount_usd: Decimal, reference: str) -> ReceiptBody:
        """Record money that came in."""
        body = TransferBody(amount_usd=amount_usd, reference=reference)
        return await self._transport.command("POST", f"/v1/accounts/{account_id}/deposits", body)

    async def withdraw(self, account_id: str, *, amount_usd: Decimal, reference: str) -> ReceiptBody:
        """Take available money out."""
        body = TransferBody(amount_usd=amount_usd, reference=reference)
        return await self._transport.command("POST", f"/v1/accounts/{account_id}/withdrawals", body)

    async def get(self, account_id: str) -> AccountView:
        """Return an account."""
        return await self._transport.read(f"/v1/accounts/{account_id}", AccountView)

    async def get_trial_balance(self, *, at: At = None) -> list[TrialBalanceView]:
        """Return the sums per unit and kind of account; those of a unit sum to zero."""
        return await self._transport.read("/v1/trial-balance", list[TrialBalanceView], {"at": at})

    def list(self) -> AsyncIterator[AccountView]:
        """Yield accounts by id."""
        return self._transport.read_all("/v1/accounts", AccountView)

    def list_balances(
        self, *, party_id: str | None = None, unit: str | None = None, at: At = None
    ) -> AsyncIterator[BalanceView]:
        """Yield balances by ledger account, now or as of a point in the past."""
        query = {"party_id": party_id, "unit": unit, "at": at}
        return self._transport.read_all("/v1/balances", BalanceView, query)

    def list_entries(
        self, *, party_id: str | None = None, account: str | None = None, account_id: str | None = None
    ) -> AsyncIterator[EntryView]:
        """Yield entries, oldest first."""
        query = {"party_id": party_id, "account": account, "account_id": account_id}
        return self._transport.read_all("/v1/entries", EntryView, query)
