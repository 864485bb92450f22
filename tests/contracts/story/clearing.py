"""Third chapter: one auction; two orders win, one is outbid, and the matches become grants.

The prices can be followed by hand. Sixteen nodes are for sale. Folding (4 nodes, worth 2.70) and simulation (13
nodes, worth 2.465) do not fit together, and folding adds more welfare: 0.50 · 5,376 = 2,688.00 against
0.265 · 9,984 = 2,645.76 dollars. On the four days that simulation wants the price is 2.55, which it does not outbid; at
the ask of one of them it would gain. On all other days the price is the ask, 2.20, so folding pays 2.40 in the mean.
"""

from decimal import Decimal

from events.account import AccountHoldReleased
from events.auction import (
    AuctionBound,
    AuctionCompleted,
    AuctionFailed,
    AuctionIndicated,
    AuctionOpened,
    Certificate,
    Decision,
    Deferral,
    IdleSupply,
    MatchTerms,
    Price,
    PriceRange,
    SecondBest,
    ShadowPrice,
)
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.draw import PriceSource
from events.grant import EquityPart, GrantIssued
from events.instrument import InstrumentIssued
from events.issuer import IssuerInstrumentSigned
from events.mandate import MandateBudgetCaptured, MandateBudgetReleased
from events.order import OrderLocked, OrderMatched, OrderUnmatched
from events.party import PartyGroupServed
from events.pool import PoolCapacityReserved
from events.types import LotShare, Reason
from marketplace.domain.trading.auction import FrozenBook, Result, split_book, split_result
from tests.contracts.story.demand import (
    EVALUATION,
    EVALUATION_HOLD,
    EVALUATIONS,
    FOLDING,
    FOLDING_HOLD,
    LATTICE_ISSUER,
    SAFE,
    SIMULATION,
    SIMULATION_HOLD,
)
from tests.contracts.story.draws import state_draw
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import (
    LATTICE,
    LATTICE_CASH,
    LOT,
    LOT_SERVICE,
    MANDATE,
    NORTHFJORD,
    NORTHFJORD_CASH,
    POOL,
    QUILLWORK,
    QUILLWORK_CASH,
    TIDEWATER,
    TIDEWATER_CASH,
    at,
    drawn,
)
from tests.contracts.story.teller import Teller

AUCTION = name("auc", "week 11")
FOLDING_GRANT = name("grt", "protein folding")
EVALUATION_GRANT = name("grt", "evaluation run")
COMPUTE_SAFE = name("ins", "SAFE for compute")
FOLDING_LOTS = (LotShare(lot_id=LOT, nodes=4, start=at("2026-03-09T00:00"), end=at("2026-03-16T00:00")),)
_EVALUATION_LOTS = (LotShare(lot_id=LOT, nodes=1, start=at("2026-03-17T00:00"), end=at("2026-03-18T00:00")),)
_SEED = 20_260_306
_BOOK_HASH = "e76449977327a76a7de89c87e9256bbde2cc9a3838cf29a475d985f29ed67900"
_OUTBID = Reason(
    code="outbid",
    text="13 nodes are worth 2645.76 dollars over the ask; the orders that win are worth 2688.00 there",
    facts={"surplus_usd": "2645.76", "surplus_of_winners_usd": "2688.00", "conflicting_orders": FOLDING},
)
_BOOK = Book(
    period_hours=24,
    periods=14,
    pools=(BookPool(pool_id=POOL, gpus_per_node=8, gpu_class="H100_SXM", region="eu-north"),),
    lots=(
        BookLot(lot_id=LOT, pool_id=POOL, nodes=16, from_period=0, to_period=14, ask_usd_per_gpu_hour=Decimal("2.20")),
    ),
    orders=(
        BookOrder(
            order_id=FOLDING,
            nodes=4,
            duration_periods=7,
            start_earliest=0,
            start_latest=2,
            bids=(BookBid(pool_id=POOL, value_usd_per_gpu_hour=Decimal("2.70"), lot_ids=(LOT,), mandate_id=MANDATE),),
        ),
        BookOrder(
            order_id=EVALUATION,
            group_id=f"{QUILLWORK}/{EVALUATIONS}",
            nodes=1,
            duration_periods=1,
            start_earliest=8,
            start_latest=8,
            bids=(BookBid(pool_id=POOL, value_usd_per_gpu_hour=Decimal("2.60")),),
        ),
        BookOrder(
            order_id=SIMULATION,
            nodes=13,
            duration_periods=4,
            start_earliest=2,
            start_latest=2,
            bids=(BookBid(pool_id=POOL, value_usd_per_gpu_hour=Decimal("2.465")),),
        ),
    ),
)
_PRICES = (
    Price(pool_id=POOL, from_period=0, to_period=2, price_usd_per_gpu_hour=Decimal("2.20")),
    Price(pool_id=POOL, from_period=2, to_period=6, price_usd_per_gpu_hour=Decimal("2.55")),
    Price(pool_id=POOL, from_period=6, to_period=14, price_usd_per_gpu_hour=Decimal("2.20")),
)
_IDLE_SUPPLY = (
    IdleSupply(
        lot_id=LOT,
        nodes=12,
        from_period=2,
        to_period=6,
        ask_usd_per_gpu_hour=Decimal("2.20"),
        price_usd_per_gpu_hour=Decimal("2.55"),
        cause="rejected_orders",
    ),
)
_SHADOW_PRICES = (ShadowPrice(lot_id=LOT, from_period=2, to_period=6, price_usd_per_gpu_hour=Decimal("2.465")),)
_DECISIONS = (
    Decision(
        order_id=FOLDING,
        match=MatchTerms(
            grant_id=FOLDING_GRANT,
            pool_id=POOL,
            nodes=4,
            start=FOLDING_LOTS[0].start,
            end=FOLDING_LOTS[0].end,
            lots=FOLDING_LOTS,
            value_usd_per_gpu_hour=Decimal("2.70"),
            price_usd_per_gpu_hour="12/5",
            mandate_id=MANDATE,
        ),
        total_usd=Decimal("12902.40"),
        regret_usd=Decimal("0.00"),
        second_best=SecondBest(
            pool_id=POOL,
            mandate_id=MANDATE,
            nodes=4,
            start=at("2026-03-11T00:00"),
            surplus_difference_usd=Decimal("0.00"),
        ),
    ),
    Decision(
        order_id=EVALUATION,
        match=MatchTerms(
            grant_id=EVALUATION_GRANT,
            pool_id=POOL,
            nodes=1,
            start=_EVALUATION_LOTS[0].start,
            end=_EVALUATION_LOTS[0].end,
            lots=_EVALUATION_LOTS,
            value_usd_per_gpu_hour=Decimal("2.60"),
            price_usd_per_gpu_hour="11/5",
        ),
        total_usd=Decimal("422.40"),
        regret_usd=Decimal("0.00"),
    ),
    Decision(
        order_id=SIMULATION,
        reasons=(_OUTBID,),
        price_to_win_usd_per_gpu_hour=Decimal("2.47"),
        price_to_win_range=PriceRange(
            guarantee="exact",
            lower_usd_per_gpu_hour=Decimal("2.47"),
            upper_usd_per_gpu_hour=Decimal("2.47"),
        ),
        regret_usd=Decimal("0.00"),
    ),
)

_FOLDING_GRANT_ISSUED = GrantIssued(
    grant_id=FOLDING_GRANT,
    order_id=FOLDING,
    auction_id=AUCTION,
    startup_id=LATTICE,
    provider_id=NORTHFJORD,
    pool_id=POOL,
    gpu_class="H100_SXM",
    nodes=4,
    gpus_per_node=8,
    start=FOLDING_LOTS[0].start,
    end=FOLDING_LOTS[0].end,
    lots=FOLDING_LOTS,
    price_usd_per_gpu_hour="12/5",
    cash_share="5/9",
    startup_account_id=LATTICE_CASH,
    provider_account_id=NORTHFJORD_CASH,
    hold_id=FOLDING_HOLD,
    cash_commitment_usd=Decimal("7168.00"),
    equity=EquityPart(
        mandate_id=MANDATE,
        holder_id=TIDEWATER,
        holder_account_id=TIDEWATER_CASH,
        instrument_id=COMPUTE_SAFE,
        principal_share="5/9",
        equity_credit=Decimal("0.80"),
        principal_commitment_usd=Decimal("7168.00"),
        budget_commitment_usd=Decimal("5734.40"),
    ),
    service=LOT_SERVICE,
)


_FOLDING_DRAW = state_draw(
    _FOLDING_GRANT_ISSUED, cash="4/3", principal="4/3", source=PriceSource(kind="auction", id=AUCTION)
)


def tell_clearing(teller: Teller) -> None:
    """Run one auction and carry out its decisions."""
    _tell_auction(teller)
    _tell_folding_match(teller)
    _tell_evaluation_match(teller)
    teller.tell(
        "2026-03-06T12:02",
        "auctioneer",
        OrderUnmatched(
            order_id=SIMULATION,
            auction_id=AUCTION,
            reasons=(_OUTBID,),
            price_to_win_usd_per_gpu_hour=Decimal("2.47"),
        ),
        AccountHoldReleased(
            account_id=QUILLWORK_CASH,
            party_id=QUILLWORK,
            hold_id=SIMULATION_HOLD,
            amount_usd=Decimal("24610.56"),
            reason="not matched",
        ),
    )
    teller.tell("2026-03-06T12:03", "auctioneer", AuctionCompleted(auction_id=AUCTION, matched=2, unmatched=1))


_DEFERRALS = (
    Deferral(
        order_id=name("ord", "sweep at a cent"),
        rank=4,
        value_usd=Decimal("1.92"),
        reason=Reason(
            code="auction_full",
            text="more orders stand than the 3 that one auction clears; this one is worth 1.92 USD at most, rank 4;"
            " above 24610.56 USD it would have been admitted",
            facts={"rank": "4", "value_usd": "1.92", "places": "3", "value_needed_usd": "24610.56"},
        ),
    ),
)
_CERTIFICATE = Certificate(
    book_hash=_BOOK_HASH,
    engine_version="1.0.0",
    seed=_SEED,
    iterations=400,
    welfare_usd=Decimal("2764.80"),
    lp_bound_usd=Decimal("5207.04"),
    gap=Decimal("0.469027"),
    prices_hash="eb44e36e6781ff718f7710e95b12a4f54aed63cf144255f9b5379daf2d175565",
    decisions_hash="c29f2acdfe9a3bb8be68224d48e4f1102d4b409a7c4e76413c170a9f411fa925",
    price_loss_max=Decimal("0.469027"),
    idle_supply_usd=Decimal("3225.60"),
    price_loss_kind="lp_bound",
    dual_bound_usd=Decimal("3686.40"),
)


def _tell_auction(teller: Teller) -> None:
    teller.tell(
        "2026-03-02T12:00",
        "timer",
        AuctionOpened(
            auction_id=AUCTION,
            locks_at=at("2026-03-06T12:00"),
            horizon_start=at("2026-03-09T00:00"),
            period_hours=24,
            periods=14,
            seed=_SEED,
            indicative_at=at("2026-03-06T08:00"),
            no_cancel_at=at("2026-03-06T11:00"),
        ),
    )
    teller.tell(
        "2026-03-06T08:00",
        "auctioneer",
        AuctionIndicated(auction_id=AUCTION, orders=3, book_hash=_BOOK_HASH, prices=_PRICES),
    )
    teller.tell(
        "2026-03-06T11:00",
        "auctioneer",
        *(OrderLocked(order_id=order.order_id, auction_id=AUCTION) for order in _BOOK.orders),
        AuctionBound(auction_id=AUCTION, orders=3),
    )
    teller.tell(
        "2026-03-06T12:00",
        "auctioneer",
        *split_book(AUCTION, FrozenBook(book=_BOOK, book_hash=_BOOK_HASH), _DEFERRALS),
    )
    teller.tell(
        "2026-03-06T12:00:30",
        "auctioneer",
        AuctionFailed(auction_id=AUCTION, reason="the engine was stopped after 30 seconds", attempt=1),
    )
    teller.tell(
        "2026-03-06T12:01",
        "auctioneer",
        *split_result(
            Result(
                auction_id=AUCTION,
                prices=_PRICES,
                decisions=_DECISIONS,
                certificate=_CERTIFICATE,
                shadow_prices=_SHADOW_PRICES,
                idle_supply=_IDLE_SUPPLY,
            )
        ),
    )


def _tell_folding_match(teller: Teller) -> None:
    span = FOLDING_LOTS[0]
    teller.tell(
        "2026-03-06T12:02",
        "auctioneer",
        OrderMatched(order_id=FOLDING, auction_id=AUCTION, grant_id=FOLDING_GRANT),
        PoolCapacityReserved(
            pool_id=POOL, grant_id=FOLDING_GRANT, nodes=4, start=span.start, end=span.end, lots=FOLDING_LOTS
        ),
        drawn(POOL, FOLDING_GRANT, *FOLDING_LOTS),
        _FOLDING_GRANT_ISSUED,
        InstrumentIssued(
            instrument_id=COMPUTE_SAFE,
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            terms=SAFE,
            commitment_usd=Decimal("7168.00"),
            funding="drawdown",
            grant_id=FOLDING_GRANT,
            mandate_id=MANDATE,
            draw=_FOLDING_DRAW,
        ),
        IssuerInstrumentSigned(
            issuer_id=LATTICE_ISSUER,
            instrument_id=COMPUTE_SAFE,
            holder_id=TIDEWATER,
            commitment_usd=Decimal("7168.00"),
            terms=SAFE,
        ),
        MandateBudgetCaptured(
            mandate_id=MANDATE, hold_id=FOLDING_HOLD, grant_id=FOLDING_GRANT, amount_usd=Decimal("5734.40")
        ),
        MandateBudgetReleased(
            mandate_id=MANDATE, hold_id=FOLDING_HOLD, amount_usd=Decimal("716.80"), reason="won below its offer"
        ),
        AccountHoldReleased(
            account_id=LATTICE_CASH,
            party_id=LATTICE,
            hold_id=FOLDING_HOLD,
            amount_usd=Decimal("896.00"),
            reason="won below its offer",
        ),
    )


def _tell_evaluation_match(teller: Teller) -> None:
    span = _EVALUATION_LOTS[0]
    teller.tell(
        "2026-03-06T12:02",
        "auctioneer",
        OrderMatched(order_id=EVALUATION, auction_id=AUCTION, grant_id=EVALUATION_GRANT),
        PartyGroupServed(party_id=QUILLWORK, group=EVALUATIONS, order_id=EVALUATION),
        PoolCapacityReserved(
            pool_id=POOL, grant_id=EVALUATION_GRANT, nodes=1, start=span.start, end=span.end, lots=_EVALUATION_LOTS
        ),
        drawn(POOL, EVALUATION_GRANT, *_EVALUATION_LOTS),
        GrantIssued(
            grant_id=EVALUATION_GRANT,
            order_id=EVALUATION,
            auction_id=AUCTION,
            startup_id=QUILLWORK,
            provider_id=NORTHFJORD,
            pool_id=POOL,
            gpu_class="H100_SXM",
            nodes=1,
            gpus_per_node=8,
            start=span.start,
            end=span.end,
            lots=_EVALUATION_LOTS,
            price_usd_per_gpu_hour="11/5",
            cash_share="1/1",
            startup_account_id=QUILLWORK_CASH,
            provider_account_id=NORTHFJORD_CASH,
            hold_id=EVALUATION_HOLD,
            cash_commitment_usd=Decimal("422.40"),
            service=LOT_SERVICE,
        ),
        AccountHoldReleased(
            account_id=QUILLWORK_CASH,
            party_id=QUILLWORK,
            hold_id=EVALUATION_HOLD,
            amount_usd=Decimal("76.80"),
            reason="won below its offer",
        ),
    )
