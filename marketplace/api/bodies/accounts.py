"""Bodies of accounts."""

from events.account import Reference
from events.types import Usd
from marketplace.api.bodies import Body


class TransferBody(Body, frozen=True, kw_only=True):
    """Money that came in or goes out.

    Attributes:
        amount_usd: How much.
        reference: The payment's own id.
    """

    amount_usd: Usd
    reference: Reference
