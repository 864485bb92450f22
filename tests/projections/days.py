"""The market's days in the story: list prices, phases of an auction, held quotes, a pool that leaves, meters."""

from datetime import date, timedelta

from events import auction, grant, pool, quote, usage
from events.auction import MatchTerms, Price
from events.pricelist import ListPrice, PricelistPublished
from events.types import LotShare
from tests.projections import market
from tests.projections.market import AUCTION, CASH, ISSUER, LOT, POOL, PROVIDER, START, STARTUP
from tests.projections.story import HOUR, Story, make_id, usd


def tell_list_prices(story: Story) -> None:
    rows = tuple(
        ListPrice(
            gpu_class="H100_SXM",
            provider=provider,
            usd_per_gpu_hour=usd(price),
            listed_on=date(2026, 1, 1),
            source=f"https://{provider.lower()}.example",
        )
        for provider, price in (("AWS", "3.93"), ("RunPod", "3.49"))
    )
    story.tell(PricelistPublished(pricelist_id=make_id("prl", 1), name="January", prices=rows))


def tell_phases(story: Story) -> None:
    prices = (Price(pool_id=POOL, from_period=0, to_period=24, price_usd_per_gpu_hour=usd("2.4")),)
    story.tell(auction.AuctionIndicated(auction_id=AUCTION, orders=5, book_hash="c" * 64, prices=prices))
    story.tell(auction.AuctionBound(auction_id=AUCTION, orders=5))
    story.tell(auction.AuctionSupplyChanged(auction_id=AUCTION, cause=make_id("quo", 1)))


def tell_quotes(story: Story) -> None:
    for number in (1, 2, 3):
        _hold(story, number)
    story.tell(
        quote.QuoteTaken(quote_id=make_id("quo", 1), order_id=make_id("ord", 21), grant_id=make_id("grt", 21)),
        actor=STARTUP,
    )
    story.tell(quote.QuoteReleased(quote_id=make_id("quo", 2), reason="changed plans"), actor=STARTUP)
    story.tell(quote.QuoteExpired(quote_id=make_id("quo", 3), at=story.now + timedelta(minutes=10)))


def _hold(story: Story, number: int) -> None:
    end = START + 24 * HOUR
    match = MatchTerms(
        grant_id=make_id("grt", 20 + number),
        pool_id=POOL,
        nodes=2,
        start=START,
        end=end,
        lots=(LotShare(lot_id=LOT, nodes=2, start=START, end=end),),
        value_usd_per_gpu_hour=usd("2.5"),
        price_usd_per_gpu_hour="12/5",
    )
    held = quote.QuoteHeld(
        quote_id=make_id("quo", number),
        startup_id=STARTUP,
        issuer_id=ISSUER,
        account_id=CASH,
        hold_id=make_id("hld", 20 + number),
        terms=market.TERMS,
        cash_hold_usd=usd("768.00"),
        match=match,
        expires_at=story.now + timedelta(minutes=10),
    )
    story.tell(held, actor=STARTUP)


def tell_closing(story: Story) -> None:
    closes_at = START + timedelta(days=400)
    story.tell(
        pool.PoolClosingAnnounced(pool_id=POOL, announced_at=story.now, closes_at=closes_at, reason="the lease ends")
    )


def tell_meters(story: Story) -> None:
    identified = usage.UsageIdentified(
        usage_id=make_id("usg", 9),
        party_id=PROVIDER,
        source="dcgm",
        grant_id=make_id("grt", 1),
        reading_ids=("h0",),
    )
    part = usage.SoldNodes(start=START, end=START + HOUR, nodes=1)
    limited = {"usage_id": make_id("usg", 1), "grant_id": make_id("grt", 1), "end": START + 24 * HOUR}
    story.tell(usage.UsageLimited(**limited, resold=(part,)))
    story.tell(identified, usage.UsageClosed(usage_id=make_id("usg", 1), grant_id=make_id("grt", 1), gpu_seconds=0))


def tell_allocations(story: Story) -> None:
    """Allocate two hours of use to a grant, lower it, and take it back."""
    grant_id, part_id = make_id("grt", 1), "u1#1"
    start, end = START, START + 2 * HOUR
    tenant = {
        "usage_id": make_id("usg", 8),
        "startup_id": STARTUP,
        "provider_id": PROVIDER,
        "gpu_class": "H100_SXM",
        "source": "fleet",
        "reading_id": "u1",
    }
    meter = {"usage_id": make_id("usg", 1), "grant_id": grant_id, "source": "fleet"}
    rank = usage.BurnRank(grant_id=grant_id, priority=100, expires_at=START + 24 * HOUR, created_at=START)

    def allocation(gpus: int) -> usage.Allocation:
        part = usage.AllocationPart(grant_id=grant_id, reading_id=part_id, start=start, end=end, gpus=gpus)
        return usage.Allocation(start=start, end=end, gpus=gpus, ranks=(rank,), parts=(part,), parts_made=1)

    def reading(gpus: int) -> usage.Reading:
        return usage.Reading(reading_id=part_id, start=start, end=end, nodes=1, gpu_seconds=gpus * 7_200, gpus=gpus)

    story.tell(grant.GrantPrioritised(grant_id=grant_id, priority=3))
    story.tell(
        usage.UsageAllocated(**tenant, allocation=allocation(2)), usage.UsageReported(**meter, readings=(reading(2),))
    )
    story.tell(
        usage.UsageReallocated(**tenant, before=allocation(2), after=allocation(1), reason="less"),
        usage.UsageCorrected(**meter, before=reading(2), after=reading(1), reason="less"),
    )
    story.tell(
        usage.UsageReallocated(**tenant, before=allocation(1), after=None, reason="not used"),
        usage.UsageVoided(**meter, reading=reading(1), reason="not used"),
    )
