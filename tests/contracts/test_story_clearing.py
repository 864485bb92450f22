"""The auction of the story is one that the market's own verifier takes, so its numbers can be trusted."""

from events.auction import AuctionCleared, AuctionLocked, AuctionOpened, Decision, MatchTerms
from events.registry import parse_body
from events.types import LotShare
from marketplace.clearing import model
from marketplace.clearing.codec import hash_json, render_decisions, render_prices
from marketplace.clearing.verifier import find_violations
from marketplace.core.money import parse_ratio
from marketplace.runtime.clearing import compute_book_hash, parse_book
from marketplace.runtime.horizon import Horizon, build_horizon
from tests.contracts.story.book import tell_story

EVENTS = [parse_body(told.tag, told.body) for told in tell_story()]
OPENED = next(event for event in EVENTS if isinstance(event, AuctionOpened))
LOCKED = next(event for event in EVENTS if isinstance(event, AuctionLocked))
CLEARED = next(event for event in EVENTS if isinstance(event, AuctionCleared))


def read_clearing(cleared: AuctionCleared, horizon: Horizon) -> model.Clearing:
    """Return what the event says in the engine's own shapes."""
    certificate = {name: getattr(cleared.certificate, name) for name in cleared.certificate.__struct_fields__}
    return model.Clearing(
        tuple(
            model.PriceRun(run.pool_id, run.from_period, run.to_period, run.price_usd_per_gpu_hour)
            for run in cleared.prices
        ),
        tuple(read_decision(decision, horizon) for decision in cleared.decisions),
        model.Certificate(**certificate),
        tuple(
            model.ShadowPrice(run.lot_id, run.from_period, run.to_period, run.price_usd_per_gpu_hour)
            for run in cleared.shadow_prices
        ),
    )


def read_decision(decision: Decision, horizon: Horizon) -> model.Decision:
    return model.Decision(
        decision.order_id,
        None if decision.match is None else read_match(decision.match, horizon),
        tuple(model.Reason(reason.code, reason.text, reason.facts) for reason in decision.reasons),
        decision.price_to_win_usd_per_gpu_hour,
        decision.regret_usd,
    )


def read_match(match: MatchTerms, horizon: Horizon) -> model.Match:
    return model.Match(
        match.pool_id,
        match.mandate_id,
        match.nodes,
        *read_span(match, horizon),
        tuple(model.LotShare(share.lot_id, share.nodes, *read_span(share, horizon)) for share in match.lots),
        match.value_usd_per_gpu_hour,
        parse_ratio(match.price_usd_per_gpu_hour),
    )


def read_span(placed: MatchTerms | LotShare, horizon: Horizon) -> tuple[int, int]:
    periods = {horizon.at(period): period for period in range(LOCKED.book.periods + 1)}
    return periods[placed.start], periods[placed.end]


def test_the_verifier_finds_nothing_wrong_with_the_auction() -> None:
    clearing = read_clearing(CLEARED, build_horizon(OPENED))
    assert CLEARED.certificate.prices_hash == hash_json(render_prices(clearing.prices))
    assert CLEARED.certificate.decisions_hash == hash_json(render_decisions(clearing.decisions))
    assert find_violations(parse_book(LOCKED.book), clearing) == ()


def test_the_book_is_named_by_the_hash_that_the_market_gives_it() -> None:
    assert LOCKED.book_hash == CLEARED.certificate.book_hash == compute_book_hash(LOCKED.book)
