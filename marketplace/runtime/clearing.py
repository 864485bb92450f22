"""Between the frozen book in the log and the engine: both ways, and the check in between.

What is published was found right by the verifier, which shares no code with the engine.
"""

from events.auction import (
    AuctionLocked,
    AuctionOpened,
    Book,
    BookOrder,
    Certificate,
    Decision,
    MatchTerms,
    Price,
    ShadowPrice,
)
from events.types import LotShare, Reason
from marketplace.clearing import model
from marketplace.clearing.codec import hash_book
from marketplace.clearing.engine import clear
from marketplace.clearing.verifier import verify
from marketplace.core.ids import derive_id
from marketplace.core.money import render_ratio
from marketplace.domain.auction import ClearAuction
from marketplace.runtime.book import Horizon, build_horizon


def parse_book(book: Book) -> model.Book:
    """Return the engine's book of a frozen one."""
    return model.Book(
        period_hours=book.period_hours,
        periods=book.periods,
        pools=tuple(model.Pool(pool.pool_id, pool.gpus_per_node) for pool in book.pools),
        lots=tuple(
            model.Lot(lot.lot_id, lot.pool_id, lot.nodes, lot.from_period, lot.to_period, lot.ask_usd_per_gpu_hour)
            for lot in book.lots
        ),
        orders=tuple(parse_order(order) for order in book.orders),
    )


def parse_order(order: BookOrder) -> model.Order:
    """Return the engine's order of one in a book."""
    return model.Order(
        order.order_id,
        order.nodes,
        order.duration_periods,
        order.start_earliest,
        order.start_latest,
        tuple(model.Bid(bid.pool_id, bid.value_usd_per_gpu_hour, bid.lot_ids, bid.mandate_id) for bid in order.bids),
    )


def compute_book_hash(book: Book) -> str:
    """Return the hash that the engine's certificate will name."""
    return hash_book(parse_book(book))


def clear_book(opened: AuctionOpened, locked: AuctionLocked) -> ClearAuction:
    """Run the engine on a frozen book, verify its answer, and return the command that publishes it.

    Raises:
        Refusal: The book is not one that the engine takes.
        MarketplaceError: The verifier found the answer wrong.
    """
    book = parse_book(locked.book)
    clearing = clear(book, seed=opened.seed)
    verify(book, clearing)
    return render_result(opened, clearing)


def render_result(opened: AuctionOpened, clearing: model.Clearing) -> ClearAuction:
    """Return the command that publishes a clearing."""
    horizon = build_horizon(opened)
    certificate = clearing.certificate
    return ClearAuction(
        auction_id=opened.auction_id,
        prices=tuple(
            Price(
                pool_id=run.pool_id,
                from_period=run.from_period,
                to_period=run.to_period,
                price_usd_per_gpu_hour=run.price_usd_per_gpu_hour,
            )
            for run in clearing.prices
        ),
        decisions=tuple(_render_decision(opened, horizon, decision) for decision in clearing.decisions),
        certificate=Certificate(
            book_hash=certificate.book_hash,
            engine_version=certificate.engine_version,
            seed=certificate.seed,
            iterations=certificate.iterations,
            welfare_usd=certificate.welfare_usd,
            lp_bound_usd=certificate.lp_bound_usd,
            gap=certificate.gap,
            prices_hash=certificate.prices_hash,
            decisions_hash=certificate.decisions_hash,
        ),
        shadow_prices=tuple(
            ShadowPrice(
                lot_id=shadow.lot_id,
                from_period=shadow.from_period,
                to_period=shadow.to_period,
                price_usd_per_gpu_hour=shadow.price_usd_per_gpu_hour,
            )
            for shadow in clearing.shadow_prices
        ),
    )


def _render_decision(opened: AuctionOpened, horizon: Horizon, decision: model.Decision) -> Decision:
    match = decision.match
    return Decision(
        order_id=decision.order_id,
        match=None if match is None else _render_match(opened, horizon, decision.order_id, match),
        reasons=tuple(
            Reason(code=reason.code, text=reason.text, facts=dict(reason.facts)) for reason in decision.reasons
        ),
        price_to_win_usd_per_gpu_hour=decision.price_to_win_usd_per_gpu_hour,
        regret_usd=decision.regret_usd,
    )


def _render_match(opened: AuctionOpened, horizon: Horizon, order_id: str, match: model.Match) -> MatchTerms:
    return MatchTerms(
        grant_id=derive_id("grt", order_id, opened.auction_id),
        pool_id=match.pool_id,
        mandate_id=match.mandate_id,
        nodes=match.nodes,
        start=horizon.at(match.start_period),
        end=horizon.at(match.end_period),
        lots=tuple(
            LotShare(
                lot_id=share.lot_id,
                nodes=share.nodes,
                start=horizon.at(share.from_period),
                end=horizon.at(share.to_period),
            )
            for share in match.lots
        ),
        value_usd_per_gpu_hour=match.value_usd_per_gpu_hour,
        price_usd_per_gpu_hour=render_ratio(match.price_usd_per_gpu_hour),
    )
