"""The port to a payment provider, which confirms that money came in or goes out.

The market moves no money outside itself. It records what a provider confirms, under the provider's name and the
payment's own reference, which counts once per account. `ManualTransfers` works without a bank connection: the operator
sees a transfer on the bank statement and records it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from marketplace.domain.billing.transfer import require_booked
from marketplace.execution.unit_of_work import Context


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money that moves between an account and the outside world.

    Attributes:
        account_id: The account.
        amount_usd: The amount.
        reference: The payment's own id.
        booked_at: When it was booked outside; None if the caller does not know.
    """

    account_id: str
    amount_usd: Decimal
    reference: str
    booked_at: datetime | None = None


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's confirmation.

    Attributes:
        provider: The provider's name.
        booked_at: When the money was booked outside; None if it is not booked yet.
    """

    provider: str
    booked_at: datetime | None


class PaymentProvider(Protocol):
    """Confirms transfers. A repeated request for the same transfer gets the same answer.

    Attributes:
        name: Its name.
    """

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    async def confirm_deposit(self, context: Context, transfer: Transfer) -> Confirmation:
        """Return the confirmation of money that came in.

        Raises:
            Refusal: The money did not come in, or the caller may not report it.
            Unavailable: The provider cannot be reached.
        """
        ...

    async def confirm_withdrawal(self, context: Context, transfer: Transfer) -> Confirmation:
        """Order a payout, and return its confirmation.

        Raises:
            Refusal: It cannot be paid out.
            Unavailable: The provider cannot be reached.
        """
        ...


class ManualTransfers:
    """Transfers that the platform's operator makes and records by hand."""

    name: Final = "manual"

    async def confirm_deposit(self, context: Context, transfer: Transfer) -> Confirmation:
        """Return a confirmation on the operator's own statement that money came in.

        Raises:
            Refusal: ``time_naive`` · ``booked_in_future``.
        """
        return self._confirm(context, transfer)

    async def confirm_withdrawal(self, context: Context, transfer: Transfer) -> Confirmation:
        """Return a confirmation of a payout that the operator makes by hand, and may say when the bank booked it.

        Raises:
            Refusal: ``time_naive`` · ``booked_in_future``.
        """
        return self._confirm(context, transfer)

    def _confirm(self, context: Context, transfer: Transfer) -> Confirmation:
        booked_at = transfer.booked_at
        if booked_at is not None:
            require_booked(booked_at, context.at)
        return Confirmation(provider=self.name, booked_at=booked_at)


MANUAL: Final[PaymentProvider] = ManualTransfers()
