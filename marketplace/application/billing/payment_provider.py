"""The payment provider as a port: who vouches that money came in or goes out.

The market moves no money outside itself. What it records is what a provider confirms, under the provider's name and the
payment's own reference, which counts once per account. `ManualTransfers` is the one that is honest without a bank: the
operator sees a transfer on the statement of the bank and records it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from marketplace.application.steps.ownership import require_platform
from marketplace.core.errors import Refusal
from marketplace.domain.refusals import require_aware
from marketplace.execution.unit_of_work import Context


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money between an account and the world outside.

    Attributes:
        account_id: The account.
        amount_usd: How much.
        reference: The payment's own id.
        booked_at: When it was booked outside; None where the one who asks does not know.
    """

    account_id: str
    amount_usd: Decimal
    reference: str
    booked_at: datetime | None = None


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider vouches for.

    Attributes:
        provider: The provider's name.
        booked_at: When the money was booked outside; None where it is yet to be.
    """

    provider: str
    booked_at: datetime | None


class PaymentProvider(Protocol):
    """Confirms transfers; asked again about the same transfer it answers the same."""

    async def confirm_deposit(self, context: Context, transfer: Transfer) -> Confirmation:
        """Return what is known of money that came in.

        Raises:
            Refusal: It did not, or the one who asks may not say that it did.
            Unavailable: The provider cannot be reached.
        """
        ...

    async def confirm_withdrawal(self, context: Context, transfer: Transfer) -> Confirmation:
        """Take an order to pay out, and return what is known of it.

        Raises:
            Refusal: It cannot be paid out.
            Unavailable: The provider cannot be reached.
        """
        ...


class ManualTransfers:
    """Transfers that the platform's operator makes by hand and records."""

    name: Final = "manual"

    async def confirm_deposit(self, context: Context, transfer: Transfer) -> Confirmation:
        """Take the operator's word; nobody else knows that money came in.

        Raises:
            Refusal: ``platform_only`` · ``time_naive`` · ``booked_in_future``.
        """
        require_platform(context)
        return self._confirm(context, transfer)

    async def confirm_withdrawal(self, context: Context, transfer: Transfer) -> Confirmation:
        """Put the payment on the operator's list, which is the log; the operator may say when the bank booked it.

        Raises:
            Refusal: ``platform_only`` for a tenant that says so · ``time_naive`` · ``booked_in_future``.
        """
        if transfer.booked_at is not None:
            require_platform(context)
        return self._confirm(context, transfer)

    def _confirm(self, context: Context, transfer: Transfer) -> Confirmation:
        booked_at = transfer.booked_at
        if booked_at is not None:
            require_aware(booked_at, "/booked_at")
            if booked_at > context.at:
                raise Refusal(
                    "booked_in_future",
                    f"the transfer would be booked at {booked_at.isoformat()}; it is {context.at.isoformat()}",
                    pointer="/booked_at",
                )
        return Confirmation(provider=self.name, booked_at=booked_at)


MANUAL: Final[PaymentProvider] = ManualTransfers()
