"""A startup sells on half a day of what it took: delivered by the provider as before, paid by the buyer.

Quillwork takes a node for a day at 2.40 dollars, half in cash and half in equity. It needs no more than the morning;
Lattice wants twelve hours, for which the provider's own lots are too long; it holds them for ten minutes and lets them
pass, and pays 2.50 in the evening's auction. Of its 240.00 dollars
Northfjord will get the 230.40 that Quillwork owes for those hours, and Quillwork 9.60. The hours that were sold grow no
principal: 144.00 of the commitment of 288.00 dollars is gone.
"""

from decimal import Decimal

from events.account import AccountHoldReleased
from events.auction import (
    AuctionCompleted,
    AuctionOpened,
    AuctionSupplyChanged,
    Certificate,
    Decision,
    IdleSupply,
    MatchTerms,
    Price,
    ShadowPrice,
)
from events.book import Book, BookBid, BookLot, BookOrder, BookPool
from events.draw import PriceSource
from events.grant import EquityPart, GrantIssued, GrantResold, ResalePart
from events.instrument import InstrumentCommitmentReduced, InstrumentIssued
from events.lot import LotListed
from events.mandate import MandateBudgetCaptured, MandateBudgetHeld, MandateBudgetReleased
from events.order import BudgetHold, ClassOffer, OrderLocked, OrderMatched, OrderPlaced, OrderTerms
from events.pool import (
    PoolCapacityOffered,
    PoolCapacityReserved,
    PoolCapacityResold,
)
from events.quote import QuoteHeld, QuoteTaken
from events.types import LotShare
from events.usage import SoldNodes
from marketplace.domain.trading.auction import FrozenBook, Result, split_book, split_result
from tests.contracts.story.demand import LATTICE_ISSUER, QUILLWORK_ISSUER, SAFE, cash_freed, cash_held
from tests.contracts.story.draws import state_draw
from tests.contracts.story.identifiers import name
from tests.contracts.story.limited import limited
from tests.contracts.story.supply import (
    LATTICE,
    LATTICE_CASH,
    LOT,
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
from tests.contracts.story.thinking_over import BUYER_TERMS, tell_thinking_over

_QUOTE = name("quo", "gripper training")
_ORDER, _GRANT, _HOLD, _SAFE = (f"{prefix}{_QUOTE[3:]}" for prefix in ("ord", "grt", "hld", "ins"))
_RESALE_LOT, _AUCTION = name("lot", "an afternoon of Quillwork's"), name("auc", "short jobs of week 12")
_BUYER_ORDER, _BUYER_HOLD, _BOUGHT = name("ord", "docking"), name("hld", "docking"), name("grt", "docking")
_START, _NOON, _END = at("2026-03-22T00:00"), at("2026-03-22T12:00"), at("2026-03-23T00:00")
_BOOK_HASH = "0f51fb24099d7176a3b0024300360b89f51610de95878a65c109b64f90c479ca"
_TERMS = OrderTerms(
    nodes=1,
    duration_hours=24,
    start_earliest=_START,
    start_latest=_START,
    offers=(
        ClassOffer(
            gpu_class="H100_SXM",
            cash_usd_per_gpu_hour=Decimal("1.20"),
            equity_usd_per_gpu_hour=Decimal("1.50"),
        ),
    ),
    mandate_ids=(MANDATE,),
    instrument=SAFE,
)
_BUDGET = BudgetHold(
    mandate_id=MANDATE, holder_id=TIDEWATER, equity_credit=Decimal("0.80"), amount_usd=Decimal("230.40")
)
_WHOLE = (LotShare(lot_id=LOT, nodes=1, start=_START, end=_END),)
_MORNING = (LotShare(lot_id=LOT, nodes=1, start=_START, end=_NOON),)
_AFTERNOON = (LotShare(lot_id=LOT, nodes=1, start=_NOON, end=_END),)
_FOR_SALE = (LotShare(lot_id=_RESALE_LOT, nodes=1, start=_NOON, end=_END),)
_BOOK = Book(
    period_hours=1,
    periods=24,
    pools=(BookPool(pool_id=POOL, gpus_per_node=8, gpu_class="H100_SXM", region="eu-north"),),
    lots=(
        BookLot(lot_id=LOT, pool_id=POOL, nodes=15, from_period=0, to_period=24, ask_usd_per_gpu_hour=Decimal("2.20")),
        BookLot(
            lot_id=_RESALE_LOT,
            pool_id=POOL,
            nodes=1,
            from_period=12,
            to_period=24,
            ask_usd_per_gpu_hour=Decimal("2.50"),
        ),
    ),
    orders=(
        BookOrder(
            order_id=_BUYER_ORDER,
            nodes=1,
            duration_periods=12,
            start_earliest=12,
            start_latest=12,
            bids=(BookBid(pool_id=POOL, value_usd_per_gpu_hour=Decimal("2.60"), lot_ids=(_RESALE_LOT,)),),
        ),
    ),
)
_DECISION = Decision(
    order_id=_BUYER_ORDER,
    match=MatchTerms(
        grant_id=_BOUGHT,
        pool_id=POOL,
        nodes=1,
        start=_NOON,
        end=_END,
        lots=_FOR_SALE,
        value_usd_per_gpu_hour=Decimal("2.60"),
        price_usd_per_gpu_hour="5/2",
    ),
    total_usd=Decimal("240.00"),
    regret_usd=Decimal("0.00"),
)


def tell_resale(teller: Teller) -> None:
    """Take a quote, offer half of it, let it be held for a while, and sell it in an auction."""
    _tell_taking(teller)
    listed = LotListed(
        lot_id=_RESALE_LOT,
        pool_id=POOL,
        provider_id=QUILLWORK,
        nodes=1,
        start=_NOON,
        end=_END,
        ask_usd_per_gpu_hour=Decimal("2.50"),
        grant_id=_GRANT,
    )
    offered = PoolCapacityOffered(pool_id=POOL, lot_id=_RESALE_LOT, nodes=1, start=_NOON, end=_END, grant_id=_GRANT)
    teller.tell("2026-03-08T10:00", QUILLWORK, listed, offered)
    tell_thinking_over(teller, _AUCTION, _GRANT, _FOR_SALE)
    _tell_auction(teller)
    _tell_match(teller)
    teller.tell("2026-03-08T18:03", "auctioneer", AuctionCompleted(auction_id=_AUCTION, matched=1, unmatched=0))


def _tell_taking(teller: Teller) -> None:
    _tell_hold(teller)
    placed = OrderPlaced(
        order_id=_ORDER,
        startup_id=QUILLWORK,
        issuer_id=QUILLWORK_ISSUER,
        account_id=QUILLWORK_CASH,
        hold_id=_HOLD,
        terms=_TERMS,
        cash_hold_usd=Decimal("230.40"),
        budget_holds=(_BUDGET,),
        quote_id=_QUOTE,
    )
    teller.tell(
        "2026-03-08T09:03",
        QUILLWORK,
        placed,
        OrderMatched(order_id=_ORDER, grant_id=_GRANT),
        _build_grant(),
        InstrumentIssued(
            instrument_id=_SAFE,
            issuer_id=QUILLWORK_ISSUER,
            holder_id=TIDEWATER,
            terms=SAFE,
            commitment_usd=Decimal("288.00"),
            funding="drawdown",
            grant_id=_GRANT,
            mandate_id=MANDATE,
            draw=state_draw(_build_grant(), cash="6/5", principal="3/2", source=PriceSource(kind="quote", id=_QUOTE)),
        ),
        MandateBudgetCaptured(mandate_id=MANDATE, hold_id=_HOLD, grant_id=_GRANT, amount_usd=Decimal("230.40")),
        QuoteTaken(quote_id=_QUOTE, order_id=_ORDER, grant_id=_GRANT),
    )


def _tell_hold(teller: Teller) -> None:
    match = MatchTerms(
        grant_id=_GRANT,
        pool_id=POOL,
        nodes=1,
        start=_START,
        end=_END,
        lots=_WHOLE,
        value_usd_per_gpu_hour=Decimal("2.40"),
        price_usd_per_gpu_hour="12/5",
        mandate_id=MANDATE,
    )
    held = QuoteHeld(
        quote_id=_QUOTE,
        startup_id=QUILLWORK,
        issuer_id=QUILLWORK_ISSUER,
        account_id=QUILLWORK_CASH,
        hold_id=_HOLD,
        terms=_TERMS,
        cash_hold_usd=Decimal("230.40"),
        budget_holds=(_BUDGET,),
        match=match,
        expires_at=at("2026-03-08T09:10"),
    )
    teller.tell(
        "2026-03-08T09:00",
        QUILLWORK,
        cash_held(QUILLWORK_CASH, QUILLWORK, _HOLD, "230.40", _ORDER),
        MandateBudgetHeld(
            mandate_id=MANDATE,
            hold_id=_HOLD,
            order_id=_ORDER,
            issuer_id=QUILLWORK_ISSUER,
            amount_usd=Decimal("230.40"),
        ),
        PoolCapacityReserved(pool_id=POOL, grant_id=_GRANT, nodes=1, start=_START, end=_END, lots=_WHOLE),
        drawn(POOL, _GRANT, *_WHOLE),
        AuctionSupplyChanged(auction_id=_AUCTION, cause=_QUOTE),
        held,
    )


def _build_grant() -> GrantIssued:
    return GrantIssued(
        grant_id=_GRANT,
        order_id=_ORDER,
        startup_id=QUILLWORK,
        provider_id=NORTHFJORD,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=1,
        gpus_per_node=8,
        start=_START,
        end=_END,
        lots=_WHOLE,
        price_usd_per_gpu_hour="12/5",
        cash_share="1/2",
        startup_account_id=QUILLWORK_CASH,
        provider_account_id=NORTHFJORD_CASH,
        hold_id=_HOLD,
        cash_commitment_usd=Decimal("230.40"),
        equity=EquityPart(
            mandate_id=MANDATE,
            holder_id=TIDEWATER,
            holder_account_id=TIDEWATER_CASH,
            instrument_id=_SAFE,
            principal_share="5/8",
            equity_credit=Decimal("0.80"),
            principal_commitment_usd=Decimal("288.00"),
            budget_commitment_usd=Decimal("230.40"),
        ),
    )


def _tell_auction(teller: Teller) -> None:
    placed = OrderPlaced(
        order_id=_BUYER_ORDER,
        startup_id=LATTICE,
        issuer_id=LATTICE_ISSUER,
        account_id=LATTICE_CASH,
        hold_id=_BUYER_HOLD,
        terms=BUYER_TERMS,
        cash_hold_usd=Decimal("249.60"),
    )
    cash = cash_held(LATTICE_CASH, LATTICE, _BUYER_HOLD, "249.60", _BUYER_ORDER)
    teller.tell("2026-03-08T11:00", LATTICE, placed, cash)
    horizon = {"horizon_start": _START, "period_hours": 1, "periods": 24}
    opened = AuctionOpened(auction_id=_AUCTION, locks_at=at("2026-03-08T18:00"), **horizon, seed=1)
    teller.tell("2026-03-08T08:00", "timer", opened)
    _tell_clearing(teller)


def _tell_clearing(teller: Teller) -> None:
    locked = split_book(_AUCTION, FrozenBook(book=_BOOK, book_hash=_BOOK_HASH), ())
    bound = OrderLocked(order_id=_BUYER_ORDER, auction_id=_AUCTION)
    teller.tell("2026-03-08T18:00", "auctioneer", bound)
    teller.tell("2026-03-08T18:00:10", "auctioneer", *locked)
    certificate = Certificate(
        book_hash=_BOOK_HASH,
        engine_version="1.0.0",
        seed=1,
        iterations=0,
        welfare_usd=Decimal("9.60"),
        lp_bound_usd=Decimal("9.60"),
        gap=Decimal(0),
        prices_hash="b047e0c621bc9303889f55015b2d1ff3589a05f13faf2a0bb0d446a3525a6e61",
        decisions_hash="9db2e8f8b1a46497d3af20a5c91e61e9cc23f7b6dd6a16fb0e3746c34c061ef6",
        price_loss_max=Decimal(0),
        idle_supply_usd=Decimal("432.00"),
        price_loss_kind="optimum",
        dual_bound_usd=Decimal("9.60"),
    )
    cleared = Result(
        auction_id=_AUCTION,
        prices=(
            Price(pool_id=POOL, from_period=0, to_period=12, price_usd_per_gpu_hour=Decimal("2.20")),
            Price(pool_id=POOL, from_period=12, to_period=24, price_usd_per_gpu_hour=Decimal("2.50")),
        ),
        decisions=(_DECISION,),
        certificate=certificate,
        shadow_prices=(
            ShadowPrice(lot_id=_RESALE_LOT, from_period=12, to_period=24, price_usd_per_gpu_hour=Decimal("2.50")),
        ),
        idle_supply=(
            IdleSupply(
                lot_id=LOT,
                nodes=15,
                from_period=12,
                to_period=24,
                ask_usd_per_gpu_hour=Decimal("2.20"),
                price_usd_per_gpu_hour=Decimal("2.50"),
                cause="used_lot",
            ),
        ),
    )
    teller.tell("2026-03-08T18:01", "auctioneer", *split_result(cleared))


def _tell_match(teller: Teller) -> None:
    bought = GrantIssued(
        grant_id=_BOUGHT,
        order_id=_BUYER_ORDER,
        auction_id=_AUCTION,
        startup_id=LATTICE,
        provider_id=NORTHFJORD,
        pool_id=POOL,
        gpu_class="H100_SXM",
        nodes=1,
        gpus_per_node=8,
        start=_NOON,
        end=_END,
        lots=_FOR_SALE,
        price_usd_per_gpu_hour="5/2",
        cash_share="1/1",
        startup_account_id=LATTICE_CASH,
        provider_account_id=NORTHFJORD_CASH,
        hold_id=_BUYER_HOLD,
        cash_commitment_usd=Decimal("240.00"),
        resale=ResalePart(
            grant_id=_GRANT,
            lot_id=_RESALE_LOT,
            seller_id=QUILLWORK,
            seller_account_id=QUILLWORK_CASH,
            hold_id=f"hld{_BOUGHT[3:]}",
            owed_usd_per_gpu_hour="12/5",
            commitment_usd=Decimal("0.00"),
        ),
    )
    teller.tell(
        "2026-03-08T18:02",
        "auctioneer",
        OrderMatched(order_id=_BUYER_ORDER, auction_id=_AUCTION, grant_id=_BOUGHT),
        PoolCapacityResold(
            pool_id=POOL,
            grant_id=_BOUGHT,
            grant_id_before=_GRANT,
            lot_id=_RESALE_LOT,
            nodes=1,
            start=_NOON,
            end=_END,
            lots=_AFTERNOON,
            lots_left=_MORNING,
        ),
        drawn(POOL, _BOUGHT, *_AFTERNOON),
        drawn(POOL, _GRANT, *_MORNING),
        bought,
        *_take_from_source(),
        cash_freed(LATTICE_CASH, LATTICE, _BUYER_HOLD, "9.60", "not needed at the price"),
        *limited(_GRANT, f"usg{_GRANT[3:]}", _END, SoldNodes(start=_NOON, end=_END, nodes=1)),
    )


def _take_from_source() -> tuple[GrantResold, AccountHoldReleased, MandateBudgetReleased, InstrumentCommitmentReduced]:
    """Return what frees half of what was committed to Quillwork's grant."""
    return (
        GrantResold(
            grant_id=_GRANT,
            resale_grant_id=_BOUGHT,
            lot_id=_RESALE_LOT,
            nodes=1,
            start=_NOON,
            end=_END,
            gpu_seconds=96 * 3_600,
            price_usd_per_gpu_hour="5/2",
            cash_commitment_usd=Decimal("115.20"),
            principal_commitment_usd=Decimal("144.00"),
            budget_commitment_usd=Decimal("115.20"),
        ),
        cash_freed(QUILLWORK_CASH, QUILLWORK, _HOLD, "115.20", "sold on"),
        MandateBudgetReleased(
            mandate_id=MANDATE, hold_id=_HOLD, amount_usd=Decimal("115.20"), reason="sold on", committed=True
        ),
        InstrumentCommitmentReduced(
            instrument_id=_SAFE,
            issuer_id=QUILLWORK_ISSUER,
            holder_id=TIDEWATER,
            amount_usd=Decimal("144.00"),
            cause=_BOUGHT,
        ),
    )
