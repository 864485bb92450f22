"""Resale: rules on reselling a grant that rest on its meters, on held quotes and on mandates.

Refusals: capacity_delivered for what was used; resale_held for what quotes hold; resale_offered for a move of working
nodes that are on offer; mandate_not_cash for a resale or an investment under a mandate that pays with capacity;
transfer_unwelcome where a mandate allows no resale; funds_insufficient where the seller lacks what it
sets aside for the sale.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from events.grant import GrantIssued
from events.lot import LotListed
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import build_steps
from marketplace.core.money import ZERO
from marketplace.domain.delivery.grant import Grant
from marketplace.domain.metering.usage_record import Count, Usage
from marketplace.domain.supply.pool import RESALES_MAX, Pool
from marketplace.domain.trading.mandate import Mandate
from marketplace.domain.trading.quote import Quote

LACKS_ASK: Final = "ask"
MOVED_WITHIN: Final = timedelta(days=1)
"""How long before its closing a pool's provider may move working nodes that are on offer."""


def require_undelivered(grant_id: str, start: datetime, at: datetime) -> None:
    """Refuse to offer a span that has begun.

    Raises:
        Refusal: ``capacity_delivered``.
    """
    if start < at:
        raise _refuse_delivered(grant_id, start, at)


def require_unused(source: Grant, bought: GrantIssued, usages: Iterable[Usage]) -> None:
    """Refuse to sell nodes of a grant if its meters counted, within the sold span, more GPUs than would be left to it.

    Raises:
        Refusal: ``capacity_delivered``.
    """
    own = source.issued.nodes - bought.nodes
    for usage in usages:
        count = Count(usage)
        for run in build_steps(source.list_resold(), bought.start, bought.end):
            peak, where = count.find_peak(run.start, run.end)
            if peak > (own - run.amount) * bought.gpus_per_node:
                raise _refuse_delivered(source.issued.grant_id, bought.start, where)


def _refuse_delivered(grant_id: str, start: datetime, at: datetime) -> Refusal:
    return Refusal(
        "capacity_delivered",
        f"capacity of grant {grant_id} is delivered up to {render_instant(at)}; resell a span that begins later than"
        f" {render_instant(start)}",
        pointer="/start",
        grant_id=grant_id,
    )


def require_seller_funds(free_usd: Decimal, beyond_usd: Decimal, least_usd: Decimal = ZERO) -> None:
    """Refuse a sale whose seller lacks what it adds to the price, or posts, beyond the cash that the sale frees.

    What its account keeps for others is not free. The buyer is not told the seller's balance.

    Args:
        free_usd: What its account has free.
        beyond_usd: What the sale takes of it.
        least_usd: What a sale at its own ask would take. A seller that lacks this breaks the match (`lacks_ask`).

    Raises:
        Refusal: ``funds_insufficient``.
    """
    if beyond_usd > free_usd:
        raise Refusal(
            "funds_insufficient",
            "the seller lacks the money that it sets aside for the sale; nothing was stored; buy from somebody else",
            **({"lacking": LACKS_ASK} if least_usd > free_usd else {}),
        )


def lacks_ask(refusal: Refusal) -> bool:
    """Return whether a match was refused because its seller lacks what a sale at its own ask takes of its money."""
    return refusal.facts.get("lacking") == LACKS_ASK


def require_unheld(grant_id: str, holding: Sequence[Quote]) -> None:
    """Refuse to take nodes of a grant that quotes hold.

    Raises:
        Refusal: ``resale_held``.
    """
    if holding:
        until = render_instant(max(quote.held.expires_at for quote in holding))
        raise Refusal(
            "resale_held",
            f"nodes of grant {grant_id} are held until {until} for a possible buyer; wait until then",
            grant_id=grant_id,
            held_until=until,
            allowed="taken or let go",
        )


def require_move_needed(grant: Grant, pool: Pool, at: datetime) -> None:
    """Refuse to move a grant whose nodes work and are offered, or held, for resale: a move would end the offers.

    It is needed on the last day before the pool closes, not when that is announced: a closing may be put off.

    Raises:
        Refusal: ``resale_offered``.
    """
    grant_id = grant.issued.grant_id
    offers = [*pool.list_resales(grant_id), *pool.list_holders(grant_id)]
    closes = pool.closing is not None and at >= pool.closing.closes_at - MOVED_WITHIN
    if offers and grant.condition == "active" and not closes:
        raise Refusal(
            "resale_offered",
            f"the nodes of grant {grant_id} work, and its startup offers some for resale; move it once they are sold or"
            " withdrawn, have failed, or their pool closes",
            grant_id=grant_id,
        )


def has_room(pool: Pool, offer: LotListed) -> bool:
    """Return whether a pool takes a further resale lot, and what is left of the offer is no smaller than its least."""
    hours = (offer.end - offer.start) / timedelta(hours=1)
    is_whole = offer.nodes >= offer.nodes_min and hours >= offer.duration_hours_min
    return is_whole and len(pool.resales) < RESALES_MAX


def require_cash_for_resale(mandates: Iterable[Mandate]) -> None:
    """Refuse a resale that names a mandate which does not pay cash.

    Raises:
        Refusal: ``mandate_not_cash``.
    """
    for mandate in mandates:
        if mandate.granted.funding != "cash":
            mandate_id = mandate.granted.mandate_id
            raise Refusal(
                "mandate_not_cash",
                f"mandate {mandate_id} pays with its holder's own capacity; a resale is paid in dollars",
                pointer="/mandate_ids",
                mandate_id=mandate_id,
            )


def require_cash_for_investment(mandate: Mandate) -> None:
    """Refuse to invest under a mandate that pays with capacity.

    Raises:
        Refusal: ``mandate_not_cash``.
    """
    if mandate.granted.funding != "cash":
        mandate_id = mandate.granted.mandate_id
        raise Refusal(
            "mandate_not_cash", f"mandate {mandate_id} pays with capacity, not with cash", mandate_id=mandate_id
        )


def require_transferable(mandate: Mandate, grant_id: str) -> None:
    """Refuse to hand capacity that a mandate pays for to another startup, unless the mandate allows its resale.

    Raises:
        Refusal: ``transfer_unwelcome``.
    """
    if not mandate.terms.resale:
        mandate_id = mandate.granted.mandate_id
        text = f"mandate {mandate_id} pays for grant {grant_id} and allows no resale; ask its holder to allow it"
        raise Refusal("transfer_unwelcome", text, mandate_id=mandate_id)
