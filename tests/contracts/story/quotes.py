"""Between the auctions: three quotes are held; one is let go, one runs out, and one becomes a grant at its price."""

from decimal import Decimal

from events.account import AccountHoldPlaced, AccountHoldReleased
from events.auction import MatchTerms
from events.grant import GrantIssued
from events.order import ClassOffer, OrderMatched, OrderPlaced, OrderTerms
from events.pool import PoolCapacityReleased, PoolCapacityReserved
from events.quote import QuoteExpired, QuoteHeld, QuoteReleased, QuoteTaken
from events.site import SitePowerReleased
from events.types import LotShare
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import (
    HALL,
    LOT,
    LOT_SERVICE,
    NORTHFJORD,
    NORTHFJORD_CASH,
    POOL,
    QUILLWORK,
    QUILLWORK_CASH,
    at,
    drawn,
)
from tests.contracts.story.teller import Teller

QUOTED_LOTS = (LotShare(lot_id=LOT, nodes=1, start=at("2026-03-20T00:00"), end=at("2026-03-21T00:00")),)
_TERMS = OrderTerms(
    nodes=1,
    duration_hours=24,
    start_earliest=at("2026-03-20T00:00"),
    start_latest=at("2026-03-20T00:00"),
    offers=(
        ClassOffer(
            gpu_class="H100_SXM",
            cash_usd_per_gpu_hour=Decimal("2.30"),
            equity_usd_per_gpu_hour=Decimal("0.00"),
        ),
    ),
)


def tell_quotes(teller: Teller) -> None:
    """Hold three quotes, and end each in another way."""
    first, second, third = (name("quo", which) for which in ("let go", "run out", "taken"))
    _tell_hold(teller, "2026-03-07T09:00", first, "2026-03-07T09:10")
    released = QuoteReleased(quote_id=first, reason="the test can wait")
    teller.tell("2026-03-07T09:04", QUILLWORK, *_free(first, "the quote was released"), released)
    _tell_hold(teller, "2026-03-07T10:00", second, "2026-03-07T10:10")
    expired = QuoteExpired(quote_id=second, at=at("2026-03-07T10:10"))
    teller.tell("2026-03-07T10:10", "timer", *_free(second, "the quote expired"), expired)
    _tell_hold(teller, "2026-03-07T11:00", third, "2026-03-07T11:10")
    _tell_taking(teller, third)


def _tell_hold(teller: Teller, when: str, quote: str, until: str) -> None:
    match = MatchTerms(
        grant_id=f"grt{quote[3:]}",
        pool_id=POOL,
        nodes=1,
        start=QUOTED_LOTS[0].start,
        end=QUOTED_LOTS[0].end,
        lots=QUOTED_LOTS,
        value_usd_per_gpu_hour=Decimal("2.30"),
        price_usd_per_gpu_hour="221/100",
    )
    held = QuoteHeld(
        quote_id=quote,
        startup_id=QUILLWORK,
        issuer_id=QUILLWORK_ISSUER,
        account_id=QUILLWORK_CASH,
        hold_id=f"hld{quote[3:]}",
        terms=_TERMS,
        cash_hold_usd=Decimal("441.60"),
        match=match,
        expires_at=at(until),
    )
    cash = AccountHoldPlaced(
        account_id=QUILLWORK_CASH,
        party_id=QUILLWORK,
        hold_id=held.hold_id,
        amount_usd=Decimal("441.60"),
        purpose=f"ord{quote[3:]}",
    )
    reserved = PoolCapacityReserved(
        pool_id=POOL, grant_id=match.grant_id, nodes=1, start=match.start, end=match.end, lots=QUOTED_LOTS
    )
    teller.tell(when, QUILLWORK, cash, reserved, drawn(POOL, match.grant_id, *QUOTED_LOTS), held)


def _free(quote: str, reason: str) -> tuple[PoolCapacityReleased, SitePowerReleased, AccountHoldReleased]:
    return (
        PoolCapacityReleased(pool_id=POOL, grant_id=f"grt{quote[3:]}", at=QUOTED_LOTS[0].start),
        SitePowerReleased(site_id=HALL, pool_id=POOL, grant_id=f"grt{quote[3:]}"),
        AccountHoldReleased(
            account_id=QUILLWORK_CASH,
            party_id=QUILLWORK,
            hold_id=f"hld{quote[3:]}",
            amount_usd=Decimal("441.60"),
            reason=reason,
        ),
    )


def _tell_taking(teller: Teller, quote: str) -> None:
    order, grant, hold = f"ord{quote[3:]}", f"grt{quote[3:]}", f"hld{quote[3:]}"
    placed = OrderPlaced(
        order_id=order,
        startup_id=QUILLWORK,
        issuer_id=QUILLWORK_ISSUER,
        account_id=QUILLWORK_CASH,
        hold_id=hold,
        terms=_TERMS,
        cash_hold_usd=Decimal("441.60"),
        quote_id=quote,
    )
    issued = GrantIssued(
        grant_id=grant,
        order_id=order,
        startup_id=QUILLWORK,
        provider_id=NORTHFJORD,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=1,
        gpus_per_node=8,
        start=QUOTED_LOTS[0].start,
        end=QUOTED_LOTS[0].end,
        lots=QUOTED_LOTS,
        price_usd_per_gpu_hour="221/100",
        cash_share="1/1",
        startup_account_id=QUILLWORK_CASH,
        provider_account_id=NORTHFJORD_CASH,
        hold_id=hold,
        cash_commitment_usd=Decimal("424.32"),
        service=LOT_SERVICE,
    )
    freed = AccountHoldReleased(
        account_id=QUILLWORK_CASH,
        party_id=QUILLWORK,
        hold_id=hold,
        amount_usd=Decimal("17.28"),
        reason="not needed at the price",
    )
    taken = QuoteTaken(quote_id=quote, order_id=order, grant_id=grant)
    teller.tell(
        "2026-03-07T11:03", QUILLWORK, placed, OrderMatched(order_id=order, grant_id=grant), issued, freed, taken
    )
