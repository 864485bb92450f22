"""Methods of the client for accounts: balances, their entries, and statements of account."""

import builtins
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from marketplace.api.http.bodies.accounts import CaptureHoldBody, CreditBody, LimitBody, PlaceHoldBody, TransferBody
from marketplace.api.http.bodies.answers import ReceiptBody
from marketplace.api.http.bodies.reasons import ReasonBody
from marketplace.client.transport import Group, Listed, Point, Statuses, segment
from marketplace.projections.views.billing import (
    AccountStatementView,
    AccountView,
    ApprovalView,
    BalanceView,
    Basis,
    CreditView,
    EntryView,
    ExplanationView,
    HoldView,
    TrialBalanceView,
)


class Accounts(Group):
    """Accounts of a party. Amounts are in US dollars; in entries, an amount into the account is positive."""

    async def deposit(
        self, account_id: str, *, amount_usd: Decimal, reference: str, booked_at: datetime | None = None, **options: Any
    ) -> ReceiptBody:
        """Record dollars that arrived from outside, as the platform; `reference` counts once in the whole market.

        Above a limit, another person of the platform must approve it; the receipt's id is then the request's.
        """
        body = TransferBody(amount_usd=amount_usd, reference=reference, booked_at=booked_at)
        return await self._api.command(f"/v1/accounts/{segment(account_id)}/deposits", body, **options)

    async def withdraw(
        self, account_id: str, *, amount_usd: Decimal, reference: str, booked_at: datetime | None = None, **options: Any
    ) -> ReceiptBody:
        """Withdraw available money; `reference` is the payment's own id, which counts once per account.

        Above the account's limit, a second person must approve it; the receipt's id is then the request's.
        """
        body = TransferBody(amount_usd=amount_usd, reference=reference, booked_at=booked_at)
        return await self._api.command(f"/v1/accounts/{segment(account_id)}/withdrawals", body, **options)

    async def place_hold(
        self, account_id: str, *, payee_account_id: str, amount_usd: Decimal, expires_at: datetime, **options: Any
    ) -> ReceiptBody:
        """Hold money, as the payer, from which another account may be paid; the receipt's id is the hold's.

        Above the account's limit, a second person must approve it; the receipt's id is then the request's.
        """
        body = PlaceHoldBody(payee_account_id=payee_account_id, amount_usd=amount_usd, expires_at=expires_at)
        return await self._api.command(f"/v1/accounts/{segment(account_id)}/holds", body, **options)

    async def capture_hold(self, account_id: str, hold_id: str, *, amount_usd: Decimal, **options: Any) -> ReceiptBody:
        """Pay the payee from a hold, in part or in full, as payer, payee or platform."""
        body = CaptureHoldBody(amount_usd=amount_usd)
        return await self._api.command(
            f"/v1/accounts/{segment(account_id)}/holds/{segment(hold_id)}/capture", body, **options
        )

    async def release_hold(self, account_id: str, hold_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Release what is left of a hold, as its payee or the platform."""
        body = ReasonBody(reason=reason)
        return await self._api.command(
            f"/v1/accounts/{segment(account_id)}/holds/{segment(hold_id)}/release", body, **options
        )

    async def set_limit(
        self,
        account_id: str,
        *,
        limit_usd: Decimal | None,
        order_limit_usd: Decimal | None = None,
        week_limit_usd: Decimal | None = None,
        unit: str = "USD",
        **options: Any,
    ) -> ReceiptBody:
        """Set what one person alone may move out of an account in 24 hours, and order for at once and in 7 days.

        None: no limit. A change of existing limits needs a second person's approval; the receipt's id is then the
        request's.

        Raises:
            ProblemError: ``account_unknown`` · ``party_suspended`` · ``unit_unsupported`` · ``person_missing`` ·
                ``amount_not_positive`` · ``amount_too_large`` · ``amount_too_precise`` · ``second_person_missing``.
        """
        body = LimitBody(limit_usd=limit_usd, order_limit_usd=order_limit_usd, week_limit_usd=week_limit_usd, unit=unit)
        return await self._api.command(f"/v1/accounts/{segment(account_id)}/limit", body, **options)

    async def approve(self, account_id: str, approval_id: str, **options: Any) -> ReceiptBody:
        """Approve, as a second person, what another person of the party asked for. The act takes effect at once.

        Raises:
            ProblemError: ``account_unknown`` · ``party_suspended`` · ``approval_unknown`` · ``approval_…`` for one that
                is over · ``person_missing`` · ``person_same`` · refusals of the act.
        """
        return await self._api.command(
            f"/v1/accounts/{segment(account_id)}/approvals/{segment(approval_id)}/approve", **options
        )

    async def refuse_approval(self, account_id: str, approval_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Refuse, as a second person, what another person of the party asked for.

        Raises:
            ProblemError: ``account_unknown`` · ``approval_unknown`` · ``approval_…`` · ``person_missing`` ·
                ``person_same``.
        """
        path = f"/v1/accounts/{segment(account_id)}/approvals/{segment(approval_id)}/refuse"
        return await self._api.command(path, ReasonBody(reason=reason), **options)

    async def withdraw_approval(self, account_id: str, approval_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Withdraw a request, as the person who made it.

        Raises:
            ProblemError: ``account_unknown`` · ``approval_unknown`` · ``approval_…`` · ``person_missing`` ·
                ``requester_only``.
        """
        path = f"/v1/accounts/{segment(account_id)}/approvals/{segment(approval_id)}/withdraw"
        return await self._api.command(path, ReasonBody(reason=reason), **options)

    def list_approvals(
        self, account_id: str, *, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[ApprovalView]:
        """Yield requests for a second person's approval; `status` is ``open`` or how a request ended."""
        return self._api.rows(f"/v1/accounts/{segment(account_id)}/approvals", ApprovalView, status=status, **listed)

    def list_every_approval(
        self, *, party_id: str | None = None, status: Statuses = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[ApprovalView]:
        """Yield the party's requests for approval on all accounts; for the platform, of all parties or of one."""
        return self._api.rows("/v1/approvals", ApprovalView, party_id=party_id, status=status, **listed)

    async def close(self, account_id: str, *, reason: str, **options: Any) -> ReceiptBody:
        """Close an account that has no holds: nothing new can begin on it. It still receives what it is owed."""
        return await self._api.command(
            f"/v1/accounts/{segment(account_id)}/close", ReasonBody(reason=reason), **options
        )

    def list_holds(
        self, account_id: str, *, purpose: str | None = None, **listed: Unpack[Listed]
    ) -> AsyncIterator[HoldView]:
        """Yield the present and past holds on an account."""
        return self._api.rows(f"/v1/accounts/{segment(account_id)}/holds", HoldView, purpose=purpose, **listed)

    async def get(self, account_id: str) -> AccountView:
        """Return an account with the money that is available and held on it now.

        Raises:
            ProblemError: ``account_unknown``, also if it is another party's.
        """
        return await self._api.get(f"/v1/accounts/{segment(account_id)}", AccountView)

    async def limit_credit(
        self, *, provider_id: str, startup_id: str, limit_usd: Decimal, **options: Any
    ) -> ReceiptBody:
        """Set, as a provider, how much of its delivery a startup's new orders may pay by accepted statements alone.

        Raises:
            ProblemError: ``party_unknown`` · ``role_missing`` · ``limit_exceeded``.
        """
        body = CreditBody(provider_id=provider_id, startup_id=startup_id, limit_usd=limit_usd)
        return await self._api.command("/v1/credits", body, **options)

    def list_credits(self, *, party_id: str | None = None) -> AsyncIterator[CreditView]:
        """Yield credits by account and provider; a tenant sees those that it gives or may take."""
        return self._api.rows("/v1/credits", CreditView, party_id=party_id)

    def list(self) -> AsyncIterator[AccountView]:
        """Yield the party's own accounts by id; for the platform, everyone's."""
        return self._api.rows("/v1/accounts", AccountView)

    def list_balances(
        self,
        *,
        at: Point | None = None,
        occurred_until: datetime | None = None,
        party_id: str | None = None,
        unit: str | None = None,
    ) -> AsyncIterator[BalanceView]:
        """Yield balances by ledger account: of entries recorded by `at`, whose events occurred by `occurred_until`.

        Raises:
            ProblemError: ``request_invalid`` if no balance can have the unit, ``gpu_class_unoffered``.
        """
        query = {"at": at, "occurred_until": occurred_until}
        return self._api.rows("/v1/balances", BalanceView, party_id=party_id, unit=unit, **query)

    def list_entries(
        self,
        *,
        party_id: str | None = None,
        account: str | None = None,
        account_id: str | None = None,
        **listed: Unpack[Listed],
    ) -> AsyncIterator[EntryView]:
        """Yield entries, oldest first unless `order` is ``newest``, each with the event that posted it.

        Args:
            party_id: Entries of one party; a tenant sees only its own.
            account: Entries of one ledger account, as `BalanceView.account` spells it.
            account_id: Entries of one account, on all of its ledger accounts.
            listed: Their order, and when they were recorded.
        """
        subject = {"party_id": party_id, "account": account, "account_id": account_id}
        return self._api.rows("/v1/entries", EntryView, **subject, **listed)

    async def get_trial_balance(self, *, at: Point | None = None) -> builtins.list[TrialBalanceView]:
        """Return the sums by unit and kind of account, for the platform. The sums of a unit add up to zero."""
        return await self._api.get("/v1/trial-balance", list[TrialBalanceView], at=at)

    async def explain_balance(
        self,
        subject_id: str,
        *,
        at: Point | None = None,
        occurred_until: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ExplanationView:
        """Return the ledger accounts of an account, grant, service line, instrument or pool, with entries and events.

        An event that the key does not see as a whole has neither actor nor body.
        A page has `limit` entries, 20 by default and at most 50; `next_cursor` of the answer is the `cursor` of the
        next one.
        """
        return await self._api.get(
            f"/v1/accounts/{segment(subject_id)}/explain",
            ExplanationView,
            at=at,
            occurred_until=occurred_until,
            limit=limit,
            cursor=cursor,
        )

    async def get_statement(
        self, account_id: str, *, start: datetime, end: datetime, basis: Basis | None = None, last: int | None = None
    ) -> AccountStatementView:
        """Return an account's opening balance, its entries in ``[start, end)``, and its closing balance.

        Args:
            account_id: The account.
            start: First instant.
            end: Instant after the last.
            basis: ``recorded`` (the default) or ``occurred``: by which time an entry counts.
            last: Only so many of the latest entries, and the opening balance before them; None: all.

        Raises:
            ProblemError: ``account_unknown``, also if it is another party's; ``statement_too_long`` above 10,000
                entries.
        """
        path = f"/v1/accounts/{segment(account_id)}/statement"
        return await self._api.get(path, AccountStatementView, start=start, end=end, basis=basis, last=last)

    async def get_statement_csv(
        self, account_id: str, *, start: datetime, end: datetime, basis: Basis | None = None
    ) -> bytes:
        """Return a statement of account as CSV in UTF-8 (RFC 4180): a header, then a row for each entry.

        Opening and closing balances are rows without a sequence, with ``opening`` or ``closing`` in place of the event.

        Raises:
            ProblemError: ``account_unknown``, also if it is another party's.
        """
        return await self._api.download(
            f"/v1/accounts/{segment(account_id)}/statement.csv", start=start, end=end, basis=basis
        )

    async def get_statement_html(
        self, account_id: str, *, start: datetime, end: datetime, basis: Basis | None = None
    ) -> bytes:
        """Return a statement of account as a page of HTML in UTF-8, to print.

        Raises:
            ProblemError: ``account_unknown``, also if it is another party's.
        """
        return await self._api.download(
            f"/v1/accounts/{segment(account_id)}/statement.html", start=start, end=end, basis=basis
        )
