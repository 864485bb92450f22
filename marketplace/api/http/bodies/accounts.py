"""Bodies of accounts."""

from events.account import Reference
from events.types import Id, Instant, Usd
from marketplace.api.http.bodies import Body


class TransferBody(Body, frozen=True, kw_only=True):
    """Money that came in or goes out.

    Attributes:
        amount_usd: How much.
        reference: The payment's own id; it counts once per account.
        booked_at: When it was booked outside, where that is known.
    """

    amount_usd: Usd
    reference: Reference
    booked_at: Instant | None = None


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
