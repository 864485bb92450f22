"""Bodies of bonds and claims."""

from typing import Annotated

from msgspec import Meta

from events.bond import REPLACEMENTS_MAX
from events.types import Id, Instant, Text, Usd
from marketplace.api.http.bodies import Body


class PostBondBody(Body, frozen=True, kw_only=True):
    """Money to set apart.

    Attributes:
        party_id: The provider.
        amount_usd: How much more.
        lot_id: The lot whose grants it covers, until the lot ends; None: all grants of the provider.
        stands_until: Until when it covers them at least; needed without a lot.
    """

    party_id: Id
    amount_usd: Usd
    lot_id: Id | None = None
    stands_until: Instant | None = None


class ReleaseBondBody(Body, frozen=True, kw_only=True):
    """Money to take back.

    Attributes:
        lot_id: The lot that it was set apart for; without it, all grants.
    """

    lot_id: Id | None = None


class ClaimBody(Body, frozen=True, kw_only=True):
    """A claim for undelivered hours. The market computes what they come to.

    Attributes:
        period_start: Start of the statement period in which nodes failed; None: the early end of the grant.
        replacement_ids: Grants bought in auctions after the default, by orders that asked no more than its own, where
            another provider offered too.
    """

    period_start: Instant | None = None
    replacement_ids: Annotated[tuple[Id, ...], Meta(max_length=REPLACEMENTS_MAX)] = ()


class AnswerClaimBody(Body, frozen=True, kw_only=True):
    """An answer to a claim.

    Attributes:
        reason: Why.
        amount_usd: What the provider concedes, or the platform decides; without it, all that is claimed.
    """

    reason: Text
    amount_usd: Usd | None = None
