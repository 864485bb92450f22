"""Bodies of accounts."""

from typing import Annotated

from msgspec import Meta

from events.account import Reference
from events.types import Id, Instant, Usd
from marketplace.api.http.bodies import Body


class TransferBody(Body, frozen=True, kw_only=True):
    """Money that came in or goes out.

    Attributes:
        amount_usd: How much.
        reference: The payment's own id, such as that of the wire. A deposit's counts once in the whole market, whatever
            its spaces, signs and case; a withdrawal's once per account.
        booked_at: When it was booked outside, if that is known.
    """

    amount_usd: Usd
    reference: Reference
    booked_at: Instant | None = None


class CreditBody(Body, frozen=True, kw_only=True):
    """How much of a provider's delivery a startup may pay by accepted statements alone.

    Attributes:
        provider_id: Who gives the credit and bears its risk.
        startup_id: Who may take it.
        limit_usd: The most that its orders and grants may take together; 0 for no more.
    """

    provider_id: Id
    startup_id: Id
    limit_usd: Usd


class LimitBody(Body, frozen=True, kw_only=True):
    """How much money one person alone may move out of an account and order for. The limits replace earlier ones.

    Attributes:
        limit_usd: The limit in 24 hours for all that one person gives away: withdrawals, holds for others, budgets,
            bonds, credit, fees, stock and rights, and what a provider takes off its statements; and for what one person
            of the platform records as deposits. None: no limit.
        order_limit_usd: What one order, held quote or service line that one person alone asks for may cost, in cash and
            principal; None: no limit. A dearer order waits for a second person; a dearer quote or line is refused.
        week_limit_usd: What all that single persons order in 7 days may cost likewise; None: no limit. Money that is
            released again does not count.
        unit: The currency, which must be the account's.
    """

    limit_usd: Usd | None
    order_limit_usd: Usd | None = None
    week_limit_usd: Usd | None = None
    unit: Annotated[str, Meta(min_length=1, max_length=20)] = "USD"


class PlaceHoldBody(Body, frozen=True, kw_only=True):
    """Money to set aside for another account.

    Attributes:
        payee_account_id: Who may be paid from it.
        amount_usd: How much.
        expires_at: When what is left is available again.
    """

    payee_account_id: Id
    amount_usd: Usd
    expires_at: Instant


class CaptureHoldBody(Body, frozen=True, kw_only=True):
    """A payment from a hold.

    Attributes:
        amount_usd: How much.
    """

    amount_usd: Usd
