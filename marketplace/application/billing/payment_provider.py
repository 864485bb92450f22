"""The port to a payment provider, which confirms that money came in or goes out.

The market moves no money outside itself. It records what a provider confirms, under the provider's name and the
payment's own reference, which counts once per account. `ManualTransfers` works without a bank connection: the operator
sees a transfer on the bank statement and records it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from marketplace.execution.unit_of_work import Context


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money that moves between an account and the outside world.

    Attributes:
        account_id: The account.
        amount_usd: The amount.
        reference: The payment's own id.
        booked_at: When it was booked outside, not in the future; None if the caller does not know.
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

    A payout is recorded after its confirmation. If the account changed in between, its refusals are asked again, and
    the confirmed payout may be refused and stays unrecorded. A provider that moves money itself must therefore report
    such payouts, so that the operator records them. `ManualTransfers` moves none.

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
    """Transfers that the platform's operator makes and records by hand, with the booking time that it states."""

    name: Final = "manual"

    async def confirm_deposit(self, context: Context, transfer: Transfer) -> Confirmation:  # noqa: ARG002 - a protocol's
        """Return a confirmation on the operator's own statement that money came in."""
        return Confirmation(provider=self.name, booked_at=transfer.booked_at)

    async def confirm_withdrawal(self, context: Context, transfer: Transfer) -> Confirmation:
        """Return a confirmation of a payout that the operator makes by hand."""
        return await self.confirm_deposit(context, transfer)


MANUAL: Final[PaymentProvider] = ManualTransfers()
