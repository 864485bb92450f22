"""The auction of the story is one that the market's own verifier takes, so its numbers can be trusted."""

import pytest

from events.auction import AuctionEvent
from events.registry import parse_body
from marketplace.clearing.codec import hash_json, render_decisions, render_prices
from marketplace.clearing.verify.verifier import find_violations
from marketplace.domain.trading.auction import AUCTION
from marketplace.runtime.auctions.clearing import compute_book_hash, parse_book, parse_result
from tests.contracts.story.book import tell_story

EVENTS = [parse_body(told.tag, told.body) for told in tell_story()]
AUCTIONS = {event.auction_id: [] for event in EVENTS if isinstance(event, AuctionEvent)}
for event in EVENTS:
    if isinstance(event, AuctionEvent):
        AUCTIONS[event.auction_id].append(event)
STATES = {auction_id: AUCTION.fold(events) for auction_id, events in AUCTIONS.items()}
CLEARED = {
    auction_id: state.cleared for auction_id, state in STATES.items() if getattr(state, "cleared", None) is not None
}


@pytest.mark.parametrize("auction_id", CLEARED)
def test_the_verifier_finds_nothing_wrong_with_the_auction(auction_id: str) -> None:
    cleared = CLEARED[auction_id]
    clearing = parse_result(STATES[auction_id].opened, cleared, backstops=len(STATES[auction_id].locked.book.backstops))
    assert cleared.certificate.prices_hash == hash_json(render_prices(clearing.prices))
    assert cleared.certificate.decisions_hash == hash_json(render_decisions(clearing.decisions))
    assert find_violations(parse_book(STATES[auction_id].locked.book), clearing) == ()


@pytest.mark.parametrize("auction_id", CLEARED)
def test_the_book_is_named_by_the_hash_that_the_market_gives_it(auction_id: str) -> None:
    locked = STATES[auction_id].locked
    assert locked.book_hash == CLEARED[auction_id].certificate.book_hash == compute_book_hash(locked.book)
