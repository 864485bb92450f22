"""Before Lattice buys what Quillwork sells on, it holds it for ten minutes to think it over, and lets them pass."""

from decimal import Decimal

from events.auction import AuctionSupplyChanged, MatchTerms
from events.order import ClassOffer, OrderTerms
from events.pool import PoolCapacityHeld, PoolCapacityReleased
from events.quote import QuoteExpired, QuoteHeld
from events.types import LotShare
from tests.contracts.story.demand import LATTICE_ISSUER, cash_freed, cash_held
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE, LATTICE_CASH, POOL, at
from tests.contracts.story.teller import Teller

_NOON, _END = at("2026-03-22T12:00"), at("2026-03-23T00:00")
BUYER_TERMS = OrderTerms(
    nodes=1,
    duration_hours=12,
    start_earliest=_NOON,
    start_latest=_NOON,
    offers=(
        ClassOffer(
            gpu_class="H100_SXM",
            cash_usd_per_gpu_hour=Decimal("2.60"),
            equity_usd_per_gpu_hour=Decimal("0.00"),
        ),
    ),
)


def tell_thinking_over(teller: Teller, auction_id: str, seller_grant_id: str, for_sale: tuple[LotShare, ...]) -> None:
    """Hold what is for sale for ten minutes, and let them pass."""
    quote = name("quo", "docking, thought over")
    match = MatchTerms(
        grant_id=f"grt{quote[3:]}",
        pool_id=POOL,
        nodes=1,
        start=_NOON,
        end=_END,
        lots=for_sale,
        value_usd_per_gpu_hour=Decimal("2.60"),
        price_usd_per_gpu_hour="5/2",
    )
    held = QuoteHeld(
        quote_id=quote,
        startup_id=LATTICE,
        issuer_id=LATTICE_ISSUER,
        account_id=LATTICE_CASH,
        hold_id=f"hld{quote[3:]}",
        terms=BUYER_TERMS,
        cash_hold_usd=Decimal("249.60"),
        match=match,
        expires_at=at("2026-03-08T10:15"),
    )
    set_aside = PoolCapacityHeld(
        pool_id=POOL,
        grant_id=match.grant_id,
        grant_id_before=seller_grant_id,
        lot_id=for_sale[0].lot_id,
        nodes=1,
        start=_NOON,
        end=_END,
    )
    cash = cash_held(LATTICE_CASH, LATTICE, held.hold_id, "249.60", f"ord{quote[3:]}")
    teller.tell(
        "2026-03-08T10:05", LATTICE, cash, set_aside, AuctionSupplyChanged(auction_id=auction_id, cause=quote), held
    )
    reason = "the quote expired"
    teller.tell(
        "2026-03-08T10:15",
        "timer",
        PoolCapacityReleased(pool_id=POOL, grant_id=match.grant_id, at=_NOON, grant_id_before=seller_grant_id),
        cash_freed(LATTICE_CASH, LATTICE, held.hold_id, "249.60", reason),
        QuoteExpired(quote_id=quote, at=held.expires_at),
    )
